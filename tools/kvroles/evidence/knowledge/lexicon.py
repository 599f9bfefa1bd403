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

# What may stand in a name beside its side without changing what it says.
NEUTRAL = """
worker workers server servers node nodes instance instances pod pods deployment deployments deploy engine engines  # what runs
replica replicas service services svc container containers stage stages job jobs group pool role roles side process proc
app component unit cluster set statefulset sts lws leader host hosts machine rank shard task task0 workload launcher
vllm nixl llm llmd llama qwen deepseek kv cache transfer connector conn dynamo ray serve serving inference infer model models
modelservice ms kserve isvc aibrix kthena ucx rdma openai api lm slurm srun sbatch docker compose helm kustomize k
overlays all
config configs configuration conf cfg args arg flags flag opts opt options env envs values value vals settings spec specs
params param cmd command cli json yaml yml toml ini str string data file files path name id ids template tpl tmpl map list
conn extra common base overlay patch override profile preset recipe manifest script sh unit target
pd disagg disaggregated disaggregation xpyd
start launch run make build create get gen generate init setup new spawn up serve start_all
prod production dev staging local main default primary demo example sample release chart my main single multi std
first second third one two three a b c x y n i
gpu gpus tpu xpu cpu npu hpu nvidia amd intel gaudi cuda rocm device devices visible mask affinity
tp dp ep pp cp sp tensor parallel pipeline data expert size num count total
port ports ip addr address url urls uri endpoint endpoints http grpc
log logs out err pid dir folder root output outfile logfile
dockerfile containerfile makefile justfile actor actors pools pool chat bot test app apps web copilot assistant
gpt oss mistral mixtral gemma phi granite kimi glm minimax falcon opt tiny small large big mini nano instruct it coder vl moe
fp awq gptq bf hf meta facebook ai nemotron random dummy toy v r m s l xl xs g h t e u w j z o q f
only mode type kind is this self no_of index idx
eu us east west north south zone region az rack
service internal external headless lb
"""

# Words of logic: no name of a product or a team, so that a twin says nothing of what stands beside them.
LOGIC = """
no non not without un anti ex skip skipped disable disabled off never minus sans except but other than rather instead besides
exclude excluding excluded excludes drop dropped ignore ignored omit omitted bypass avoid avoids lacks less free neither nor
pre post stop kill wait after before until unless from to for against vs versus non_ opposite inverse negate negated
"""

# Words that may stand in a name that a condition asks for: ``is_prefill_worker``, ``PREFILL_ONLY``.
ASKING = "is as run role mode only worker node instance server pod engine flag self this am"

# Words of a number of servers: ``$RANK -lt $NUM_PREFILL``.
COUNTING = "num n count nodes size replicas number nr total"
