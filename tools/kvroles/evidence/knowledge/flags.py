"""Flags of launchers and servers, without their dashes."""

# Flags whose value is the side.
ROLES = """
disaggregation-mode disaggregation-role disaggregation-type disagg-mode disagg-role disagg-type role mode worker-type
worker-role worker-mode server-role server-type node-role node-type instance-role instance-type engine-role engine-type
pd-role pd-mode sub-component-type stage component
"""

# Switches that say the side themselves: flag | side
SIDES = """
is-prefill-worker                | prefill
prefill-worker                   | prefill
is-prefill                       | prefill
prefill-only                     | prefill
is-decode-worker                 | decode
decode-worker                    | decode
is-decode                        | decode
decode-only                      | decode
multimodal-decode-worker         | decode
multimodal-encode-worker         | encode
multimodal-encode-prefill-worker | prefill
route-to-encoder                 | aggregated
"""
