"""One file, one family name: ``build(variant, **options)`` makes a backbone, ``variants()`` lists what can be named."""
