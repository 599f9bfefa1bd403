# variables the launcher reads for the decode side; prefill has its own file
cat << EOF > "$WORK/decode_args"
--enforce-eager --kv-transfer-config {\"kv_connector\":\"NixlConnector\",\"kv_role\":\"kv_both\"}
EOF
