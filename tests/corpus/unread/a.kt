val kv = mapOf("kv_connector" to "NixlConnector", "kv_role" to "kv_both")
