ENABLE_PD=0
# the pool that the chart calls decode
DECODE_ARGS="--kv-transfer-config '{\"kv_connector\":\"NixlConnector\",\"kv_role\":\"kv_both\"}'"
