"""What a person types beside the stages, one file a command."""
