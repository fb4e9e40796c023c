"""From one network to another: other depths, specs that extend a network, and differences.

depth          how many layers deep a network is
depth_rule     which repeats a depth has, in integers
repeats        the repeats of a network for a depth or a budget
derived_spec   a spec that extends another and has only what differs
new_spec       ... of another depth
inferred_spec  ... of a network inferred from a checkpoint
diff           what differs between two networks: diff_specs, diff_graphs
diff_text      the difference for people, under a headline (diff_headline)
diff_data      the difference as JSON
"""
