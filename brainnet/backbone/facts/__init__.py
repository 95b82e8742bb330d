"""What the libraries and publications say of networks: the source of ``networks.csv``.

``python -m brainnet.backbone.facts`` asks every family and counts the parameters of every network.
"""
