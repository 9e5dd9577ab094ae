"""Git and DVC: repository, experiments, overrides, remote. No other package imports DVC."""
