"""The documentation site: its pages are put together from the files of the repository, built by MkDocs or Zensical, and
looked at. Nothing of it is in the wheel."""
