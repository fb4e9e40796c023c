"""Growing: the weights of a deeper or wider network that computes what the smaller one does.

    fault     what forbids it -> one `cannot-grow`
    pair      two flat graphs -> Pairing: which node does what which did, and what is added
    added     added nodes -> those that hand their block's input on, once its last norm is zero
    widths    Pairing -> {value: ChannelMap}: of which channel each channel of the larger is a copy
    copies    ChannelMap: how groups of channels are copied whole
    tensors   Pairing, maps and the tensors of the smaller network -> those of the larger

Deeper is the opening argument of residual learning (He et al. 2015, arXiv 1512.03385): blocks that
start as the identity can only help. Wider is Net2WiderNet (Chen et al. 2015, arXiv 1511.05641).
Nothing but `tensors` knows torch, and that inside its functions.
"""
