"""Words of titles: comments, headings, echoes, descriptions. A title opens with its side; these may stand before it or
right behind it."""

# Before the side: verbs that start or set up something, articles, numbers, what is started, where.
LEAD = """
add als an and another api args arguments arranca arrancar as async auf avec avvia avviare avvio bash begin boot booting
bring bước cache card cards case chart chạy chủ com command commands compose con conf config configs configura
configuración configurar configuration configurations configure configurer configures configuring connector container
containers cpu create creates creating custom da das de dedicated deepseek default define defines del dem den deploy
deploying deployment deployments deploys der des desplegar despliega device devices di die dienst disagg disaggregated
do docker dp du dynamo démarrage démarre démarrer démarrez déployer each eight ein eine einen ejecuta ejecutar el en
engine engines env environment ep etape every example executar execute file finally fire first five flags following for
four für gemma gli glm gpt gpu gpus granite group head helm host hosts ii iii il inference inicia iniciando iniciar
inicie init initialize initializing instance instances instancia instanz instância is istanza iv job json khởi kick kimi
knoten konfiguration kserve kubernetes kv la lance lancement lancer lancez lancia lanciare lanza lanzar las last launch
launches launching le leader les llama llm llmd lo local los machine machines main make mistral mit mixtral model models
more multi máy na name nemotron next nixl node nodes nodo noeud now npu nó nœud of off on one only open openai option
options os oss our own para parameters params part paso passo pd per phase phi pod pods pool pour pp process python qwen
rank ranks ray replica replicas role roles run running runs sample scenario schritt script scripts second section
separate serve server servers serves serveur service services servidor serving servizio set setting settings setup seven
shell side single six slurm source spawn spawning spec specs spin stage standalone start starte starten startet starting
starts statefulset step steps sur tab template templates terminal terminals the then third this three tp tpu transfer
two um uma un una und une up use using value values variable variables variant vllm window worker workers xpu yaml your
étape động для запуск запускаем запустите запустить инициализация инстанс инстанса на сервер сервера стадия узел узла
шаг экземпляр
"""

# What stands before or behind the side in scripts that set no blanks between words.
ABROAD = (
    r"启动|启用|执行|命令|以下|服务|运行|部署|创建|配置|设置|首先|然后|接着|再开?|第?[一二三四五六七八九十]+步?|第\d+步|步骤|机器|主机|脚本|如下|先|新开|打开|终端|窗口|以(?![上下外后前内])|节点|節點|实例|實例|服务器?|端|侧|的|在|上|一个|个|阶段|角色|用于|为|进程|参数|啟動|起動|開始"
    r"|します|してください|コマンド|実行|設定|構成|ノード|インスタンス|サーバー?|ワーカー|側|用|の|を|で|に|は|まず|次に|시작|실행|합니다|하기|구동|배포|설정|노드|인스턴스|서버|워커|먼저|다음|를|을|의|에서|에|용"
)

# What may stand right behind the side, as its noun: "prefill worker 0", "decode side".
HEADS = """
address args arguments box cluster command commands conf config configs configuation configuration configurations
connector container containers deployment deployments dp engine engines env environment ep file first flags fleet gpu
gpus group host hosts instance instances instancia instanz instância istanza job json knoten knotens kv launcher leader
lws machine machines mode model node nodes nodo noeud nó nœud one only options overrides parameters params pod pods pool
pools port ports pp process processes profile rank ranks replica replicas role script second section server servers
serveur service services servidor setting settings side spec stage startup statefulset svc task three tp transfer two
url values variables vllm worker workers yaml инстанс сервер сервера узел узла экземпляр
"""

# What may follow: where, with what, for whom. Whatever stands after it takes nothing away.
TAIL = """
am as at auf avec by com con dans em en for für im in mit na no of on para per pour sobre starten su sul sur that under using
via von which whose with without для на
"""
