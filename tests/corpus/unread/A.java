class A { Map<String,String> kv = Map.of("kv_connector", "NixlConnector", "kv_role", "kv_both"); }
