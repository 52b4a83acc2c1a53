"""A package that tests install; see `acme_plugin`."""
