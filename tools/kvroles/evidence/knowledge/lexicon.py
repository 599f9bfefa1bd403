"""Words of identifiers, paths and labels."""

# word | side | what else it takes: "company" is a twin beside it or a sign of P/D, because other trades use the word too
SIDES = """
prefill       | prefill    |
prefiller     | prefill    |
prefillers    | prefill    |
prefills      | prefill    |
prefilling    | prefill    |
prefillworker | prefill    |
decode        | decode     |
decoder       | decode     |
decoders      | decode     |
decodes       | decode     |
decoding      | decode     |
decodeworker  | decode     |
producer      | prefill    | company
producers     | prefill    | company
consumer      | decode     | company
consumers     | decode     | company
agg           | aggregated |
aggregated    | aggregated |
aggregate     | aggregated |
monolithic    | aggregated |
colocated     | aggregated |
collocated    | aggregated |
nondisagg     | aggregated |
encode        | encode     |
encoder       | encode     |
encoders      | encode     |
"""

# Words that are neutral behind a side, and say what is done with its servers before it: ``count_prefill``.
DONE_WITH = "count list"

# What may stand in a name beside its side without changing what it says.
NEUTRAL = """
actor actors addr address affinity ai aibrix all amd annotations api app apps arg args array assistant autoscaling awq
base basic bf big blue bot build builder canary cfg chart chat cli cluster cmd coder command
common component compose conf config configs configuration conn connector container containerfile containers copilot
count cp cpu create cuda data deepseek default demo deploy deployment deployments dev device devices dir disagg
disaggregated disaggregation docker dockerfile dp dsr dummy dyn dynamo east endpoint endpoints engine engines env envs ep
epd err eu example expert external extra facebook factory fake falcon file files first flag flags folder fp gaudi
gemma gen generate get glm gpt gptq gpu gpus granite green group grpc handler headless helm hf host hosts hpa hpu http
id ids idx image index infer inference ini init instance instances instruct intel internal ip ips is isvc it job jobs json
justfile kimi kind kserve kthena kustomize kv kwargs labels large launch launcher leader list llama llm llmd lm
lmcache local log logfile logs lora lws machine main make makefile manifest map mask meta mini minimax mistral
mixtral mode model models modelservice moe mooncake ms multi my name nano nemotron neuron new nixl node nodes
north npu num nvidia object one only openai opt options opts oss out outfile output overlay overlays override pair
pairs parallel param params patch path pd phi pid pipeline pod pods pool pools port ports pp preset primary
proc process prod production profile py qwen random rank ray rdma recipe region release replica replicas
resources rocm role roles root run sample sampling sbatch scheduling script second selector self serve server servers
service services serving set settings setup sglang sh shard side sim simple single size slurm small south sp spawn
spec specs srun stable stack stage stages staging start startup statefulset str strategy string sts sub svc task
template tensor tensorrt test third this three tiered tiny tmpl toml total tp tpl tpu transfer trtllm two type ucx
unit up uri url urls us vals value values visible vl vllm web west wide worker workers workload xl xpu xpyd yaml yml
zone
"""

# Words of logic: no name of a product or a team, so that a twin says nothing of what stands beside them.
LOGIC = """
after against anti avoid avoids before besides but bypass compare complement complementary contrary converse convert
disable disabled drain drained drop dropped ex except exclude excluded excludes excluding flip flipped for free from
ignore ignored instead inverse invert inverted inverting kill lacks less minus mirrored negate negated negation neither
never no non nor not off omit omitted opposite other post pre rather replace replaced reverse reversed route sans skip
skipped stop swap swapped than to toward towards un unless unlike until versus vs wait without
"""

# What faces a server of a side or is done with one, and is none itself: a twin says nothing of what stands beside these either.
FACING = """
balancer check checks client clients connect done exception exceptions fallback fallbacks form forms forward
frontend gateway gateways lb lint monitor monitors ping policies policy probe probes proxies proxy ready
register router routers scheduler schedulers target targets verify warmup watcher watchers
"""

# Words that make a phase the subject of a page, a script or a benchmark, and no server: nor does a twin say anything of these.
TOPICS = """
accelerating acceleration analysis analyzing basics bottleneck bottlenecks comparison depth explained explaining explanation
faster improvement improvements improving internals introduction optimisation optimisations optimising optimization
optimizations optimize optimizing overview performance primer profiling speedup speedups theory troubleshooting tuning
understanding works
"""

# Words of a name that holds another server's side, or what another server's is for each side.
FOREIGN = """
counterpart dependency dest destination downstream foreign last message msg next partner peer peers prev previous remote req
request upstream
"""

# Words of logic that turn a side round wherever they stand beside it: in the name of what holds each side's value, as a key or
# a flag of their own. Each is one of LOGIC as well.
TURNED = """
complement complementary contrary converse flip flipped inverse invert inverted inverting mirrored negate negated
negation not opposite reverse reversed swap swapped
"""

# The whole name of what holds what is left out.
LEFT_OUT = "except exclude excluded ignore ignored omit omitted skip skipped"

# Words of a name that holds a side which may be replaced.
REPLACED = "default"

# Words in the name of what holds defaults: keys, variables and functions whose settings others replace.
REPLACEABLE = "default defaults base common fallback"

# Words in the name of a key that holds what all servers take over.
SHARED = "common global globals shared all both base default defaults"

# The last words of a function that returns such settings.
CONFIGS = "config options settings args"

# Words that may stand in a name that a condition asks for: ``is_prefill_worker``, ``PREFILL_ONLY``.
ASKING = "is as run role mode only worker node instance server pod engine flag self this am vllm llm"

# Words of a name that holds a yes or no, beside a side's: ``PREFILL_ONLY``, ``prefill_enabled``.
YES_OR_NO = "only flag enable enabled"

# Words of a number of servers: ``$RANK -lt $NUM_PREFILL``.
COUNTING = "num n count nodes size replicas total"

# What makes a name with a side's word one of something else: a phase of inference, a kernel, a codec.
# word | where it stands | of which side
PHASES = """
attention | after | prefill decode
attn | after | prefill decode
aware | after | prefill decode
backend | after | prefill decode
batch | after | prefill decode
batched | after | prefill decode
bench | after | prefill decode
benchmark | after | prefill decode
bound | after | prefill decode
cache | after | encode
chunk | after | prefill decode
context | after | prefill decode
cudagraph | after | prefill decode
decoder | after | encode
dominant | after | prefill decode
error | after | prefill decode
errors | after | prefill decode
first | after | prefill decode
graph | after | prefill decode
heavy | after | prefill decode
intensive | after | prefill decode
json | after | encode
kernel | after | prefill decode
latency | after | prefill decode
len | after | prefill decode
length | after | prefill decode
only | after | encode decode
perf | after | prefill decode
prefill | after | encode
priority | after | prefill decode
query | after | prefill decode
rate | after | prefill decode
schedule | after | prefill decode
speed | after | prefill decode
step | after | prefill decode
steps | after | prefill decode
threshold | after | prefill decode
throughput | after | prefill decode
time | after | prefill decode
token | after | prefill decode
tokens | after | prefill decode
tps | after | prefill decode
wrapper | after | prefill decode
assisted | before | decode
audio | before | decode
base64 | before | decode
bench | before | prefill decode
benchmark | before | prefill decode
bi | before | encode
chunked | before | prefill
conditional | before | prefill
constrained | before | decode
cross | before | encode
dis | before | aggregated
encoder | before | decode
eval | before | prefill decode
flashinfer | before | prefill
full | before | decode
greedy | before | decode
guided | before | decode
h264 | before | decode
h265 | before | decode
image | before | decode
json | before | encode decode
kda | before | prefill
kv | before | encode
long | before | prefill
lookahead | before | decode
max | before | prefill decode
measure | before | prefill decode
medusa | before | decode
min | before | prefill decode
mla | before | prefill
non | before | aggregated
parallel | before | decode
partial | before | prefill
profile | before | prefill decode
spec | before | decode
speculative | before | decode
stress | before | prefill decode
structured | before | decode
text | before | encode
url | before | decode
vae | before | decode
video | before | decode
"""

# Settings of an engine that tune a phase, with dashes between their words: a server of the other side may have them too.
TUNING = """
decode-log-interval enable-prefill-delayer prefill-delayer-max-delay-passes prefill-max-requests prefill-round-robin-balance
"""

# Values of settings that mean a side: value | side
VALUES = """
prefill | prefill
prefiller | prefill
p | prefill
producer | prefill
kv_producer | prefill
sender | prefill
prefill_only | prefill
prefill-only | prefill
decode | decode
decoder | decode
d | decode
consumer | decode
kv_consumer | decode
receiver | decode
recver | decode
decode_only | decode
decode-only | decode
agg | aggregated
aggregated | aggregated
aggregate | aggregated
pd | aggregated
both | aggregated
mixed | aggregated
hybrid | aggregated
unified | aggregated
monolithic | aggregated
none | aggregated
p+d | aggregated
prefill_and_decode | aggregated
prefill-and-decode | aggregated
prefill-decode | aggregated
prefill_decode | aggregated
all | aggregated
regular | aggregated
encode | encode
encoder | encode
e | encode
"""
