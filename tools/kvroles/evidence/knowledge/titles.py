"""Words of titles: comments, headings, echoes, descriptions. A title opens with its side; these may stand before it or
right behind it."""

# Before the side: verbs that start or set up something, articles, numbers, what is started, where.
LEAD = """
start starts starting launch launches launching run runs running serve serves serving bring up spin deploy deploys
deploying  # en
boot booting spawn spawning create creates creating set setting configure configures configuring begin initialize
initializing
init use using make add define defines setup deployment
the a an our your and then now next first second third finally last one two three four five six seven eight more
another each
every only single multi main
on for as of is this
step steps gpu gpus tpu xpu cpu npu card cards device devices rank ranks terminal terminals tab window node nodes host
hosts machine
machines server servers instance instances worker workers pod pods engine engines container containers service
services process
replica replicas deployment deployments statefulset job group pool role roles side stage section part phase option
options
example sample case variant scenario command commands script scripts file config configs configuration configurations
conf
settings setting args arguments flags env environment variables variable values value spec specs params parameters
name container
vllm nixl kv cache transfer connector llm model models inference disaggregated disagg pd p d openai api source
template templates
local remote-free default custom dedicated separate standalone own tp dp ep pp x kubernetes k8s helm chart yaml json
docker compose
ray serve head leader async python bash slurm kserve dynamo llmd
starte starten startet starten der die das den dem ein eine einen für mit auf als knoten instanz dienst server und
konfiguration  # de
lance lancer lancez lancement démarre démarrer démarrez le la les un une des du de l d pour sur avec nœud noeud
serveur instance  # fr
démarrage déployer configurer configuration
inicia iniciar inicie iniciando lanza lanzar ejecuta ejecutar el los las una para con en nodo servidor instancia del  # es
arrancar arranca despliega desplegar configura configurar configuración
iniciar inicie execute executar o os um uma nó servidor instância do da no na com  # pt
avvia avviare avvio lancia lanciare il lo gli nodo servizio istanza per con di  # it
запуск запускаем запустить запустите узел узла сервер сервера инстанс инстанса экземпляр инициализация для на стадия  # ru
"""

# What stands before or behind the side in scripts that set no blanks between words.
ABROAD = (
    r"启动|启用|运行|部署|创建|配置|设置|首先|然后|接着|再|第[一二三\d]步|步骤|节点|实例|服务器?|端|侧|的|在|上|一个|个|阶段|角色|用于|为|进程|参数|啟動|起動|開始"
    r"|実行|設定|構成|ノード|インスタンス|サーバー?|ワーカー|側|用|の|を|で|に|は|まず|次に|시작|실행|구동|배포|설정|노드|인스턴스|서버|워커|먼저|다음|를|을|의|에서|에|용"
)

# What may stand right behind the side, as its noun: "prefill worker 0", "decode side".
HEADS = """
worker workers server servers node nodes instance instances pod pods engine engines replica replicas service services
svc
container containers deployment deployments process processes machine machines host hosts gpu gpus side role stage
phase pool pools
group job task leader rank ranks cluster config configs configuration configurations configuation conf settings
setting section
spec args arguments command commands flags values env environment parameters params variables overrides profile mode
only
vllm vllm's kv cache transfer connector port ports address url model deployment's statefulset lws yaml json script
file options
knoten instanz serveur nœud noeud nodo servidor instancia instância nó istanza узел узла сервер сервера инстанс
экземпляр
server-side first second one two three tp dp ep pp h100 configuration:
"""

# What may follow: where, with what, for whom. Whatever stands after it takes nothing away.
TAIL = """
on at in with without using for of via by as under per
auf mit für von im am sur avec pour dans en con para sobre su sul per na no em com на для с в
"""
