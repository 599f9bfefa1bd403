"""Connectors that are none of NIXL's, by what stands before ``Connector`` in their class's name."""

# vLLM's own: vllm/distributed/kv_transfer/kv_connector/factory.py and ec_connector/factory.py, 0.9.0 on, and those of
# its own tests. The rest are of projects that register their own. A class is known by how its name begins:
# LMCacheConnectorV1, LMCacheMPConnector.
OTHER = """
aibrix
ascendstore
auxoutput
cpuoffloading
decodebench
dummykv
dynamo
eccpu
ecexample
ecmooncake
ecsharedstorage
example
flagcx
flexkv
hf3fs
hf3fskv
hiddenstates
hisparse
kvbm
llmdatadist
lmcache
loadrecoveryexample
mock
mooncake
moriio
offloading
p2pnccl
pegaflow
pegakv
pynccl
rblnlmcache
recomputecpuoffload
roguesharedstorage
sfaremoted2h
sharedstorage
simplebuffer
simplecpuoffload
spyreoffloading
tairkvcache
testexample
testsharedstorage
tilert
torchdistributed
tpu
ucm
umbp
unifiedcache
"""

# The names that charts, launchers and routers use for them in their own settings.
SHORT = """
aibrix
cpuoffload
cpuoffloading
flexkv
hf3fs
kvbm
lmcache
lmcachemp
mooncake
mooncakestore
moriio
offloading
p2pnccl
shared-storage
sharedstorage
simplecpuoffload
"""
