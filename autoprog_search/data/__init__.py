"""Where images come from: data sets by name, splits, augmentation, loaders, and what tells whether they changed."""
