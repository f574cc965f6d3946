"""Networks that torchvision defines, for models.py; nothing is imported before one is asked for."""


def vision(name, classes, **options):
    """torchvision's own."""
    import torchvision  # Here, because bench.py does without.

    return getattr(torchvision.models, name)(num_classes=classes, **options)


def efficientnet_b0(shape, classes):
    """torchvision's own, with a stem of stride 1 and without dropout and stochastic depth."""
    model = vision("efficientnet_b0", classes, dropout=0.0, stochastic_depth_prob=0.0)
    model.features[0][0].stride = (1, 1)
    return model
