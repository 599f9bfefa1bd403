# NixlConnector
parser.add_argument("--kv-connector", default="NixlConnector")
parser.add_argument("--kv-role", default="kv_both")
