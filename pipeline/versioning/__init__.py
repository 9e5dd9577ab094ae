"""Git and DVC: the repository, experiments, overrides, DVC's remote. Only this imports DVC."""
