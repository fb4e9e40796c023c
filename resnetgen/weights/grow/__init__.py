"""Growing: weights with which a deeper or wider network computes what a smaller one does.

    pair      two flat graphs -> Pairing: which nodes are the same, and which are added as identity
    widen     Pairing -> {value: ChannelMap}: which channel each channel of the larger copies
    transfer  Pairing, maps and the smaller state_dict -> the larger one; alone needs torch

Deeper is the opening argument of residual learning (He et al. 2015, arXiv 1512.03385): blocks that
start as the identity do no harm. Wider is Net2WiderNet (Chen et al. 2015, arXiv 1511.05641). What
cannot be grown raises `cannot-grow`, with the node and the reason.
"""
