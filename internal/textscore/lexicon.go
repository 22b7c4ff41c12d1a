package textscore

import "strings"

// Class is what a word means for the question whether a text orders a model about. Classes carry over between wordings and languages
// where words do not.
type Class uint8

// The classes. A word has at most one.
const (
	Other   Class = iota
	Please        // asks
	Tell          // sends or publishes: send, forward, post
	Pay           // moves money or goods: transfer, buy, refund
	Grant         // gives rights or trust: share, invite, approve
	Destroy       // takes away or stops: delete, cancel, disable
	Change        // changes what there is: update, set, move
	Make          // makes or carries out: create, book, run
	Reach         // orders a look at something: read, open, search
	Shape         // orders how to answer: include, append, respond, translate
	Ignore        // sets aside what was said
	Prior         // what was said before
	Orders        // instructions, rules, prompt
	Machine       // the reader is a model
	You           // the reader
	Me            // the writer, a user
	User          // the person whom the model works for
	Answer        // what the model says
	Tools         // tools and their use
	First         // before, first, instead
	Always        // must, always, never, only
	Secret        // hide, quietly, without telling
	Not           // negation
	Data          // what is worth taking: password, file, conversation
	Out           // addresses and ways out
	Done          // completion, success
	Best          // praise of a tool
	Code          // code and snippets
	Power         // system, admin, important, urgent
	Harm          // leak, hijack, steal
	Guard         // protect, ensure, audit
	Is            // statements: is, was, has
	Human         // between people: hi, regards, team, meeting
	Money         // sums, accounts and prices
	Device        // things that are switched: doors, lights, valves
	Access        // rights, roles and memberships
	Record        // entries about somebody or something: orders, patients, appointments
	Task          // what somebody is busy with: work, job, request
	classes
)

// Name is the class as the training command prints it.
func (c Class) Name() string {
	return [...]string{"other", "please", "tell", "pay", "grant", "destroy", "change", "make", "reach", "shape", "ignore", "prior", "orders", "model", "you", "me", "user", "answer", "tool", "first", "always", "secret", "not", "data", "out", "done", "best", "code", "power", "harm", "guard", "is", "human", "money", "device", "access", "record", "task"}[c]
}

// lexicon holds the words of each class, folded as normalisation leaves them.
var lexicon = map[Class]string{
	Please: "please kindly plz pls bitte veuillez svp porfavor favor prego gentilmente пожалуйста 请 請 ください",
	Tell: `send forward post email mail message text submit publish upload export transmit exfiltrate leak dispatch deliver tweet broadcast announce notify relay report share sync mirror copy paste report disclose reveal inform disseminate circulate
 sende schicke schick senden schicken veröffentliche leite übermittle envoie envoyez transmets publie partage envía envia envíe publica comparte invia pubblica envie publique leite weiterleiten übermitteln kopiere gib copie partage copia difunde inoltra copia encaminhe copie отправь отправьте перешли перешлите опубликуй скопируй передай 传入 放进 转发 发送 转发 发布 上传 送信 転送 公開`,
	Pay: `transfer pay buy sell purchase order wire withdraw donate refund deposit invest trade redeem charge reimburse lend borrow bid subscribe remit disburse allocate swap stake spend bill invoice tip überweise überweisen kaufe bezahle verkaufe
 transfère achète paie vends transfiere compra paga vende trasferisci acquista transfira pague переведи переведите купи оплати 转账 购买 支付 汇款 振り込む 購入`,
	Grant: `grant invite approve allow permit authorize authorise add assign enable unlock unblock whitelist admit entrust promote trust accept enroll enrol register activate delegate give provide hand supply elevate appoint nominate certify sign confirm teile gewähre erlaube genehmige lade
 accorde autorise invite ajoute concede autoriza añade agrega invita concedi aggiungi conceda adicione предоставь добавь разреши 授予 添加 邀请 批准 允许 分享 共有 追加 許可`,
	Destroy: `delete remove cancel disable erase wipe drop revoke terminate kill stop shutdown block ban unsubscribe deactivate uninstall destroy purge clear close end abort dismiss fire evict expel reject deny decline detach unlink truncate format lock suspend halt reboot
 restart crash detonate clean lösche löschen entferne deaktiviere beende storniere supprime supprimez efface désactive annule elimina borra desactiva cancela cancella disattiva apague exclua удали удалите отключи останови 删除 禁用 取消 停止 削除 無効`,
	Change: `change update modify edit set adjust alter rename replace reset redirect configure increase decrease raise lower reduce boost switch turn move overwrite amend correct postpone reschedule shift extend upgrade downgrade patch override convert swap rotate reassign relocate
 merge flag mark tag rate rank sort toggle tune calibrate manipulate tamper fake falsify ändere ändern setze stelle erhöhe verschiebe modifie modifiez change remplace déplace modifica cambia mueve actualiza cambia sposta mude altere измени измените перемести обнови 修改 更改 更新 移动 変更`,
	Make: `make create book schedule reserve generate draft prepare write save store install deploy run execute perform launch start initiate begin trigger invoke call open build compile develop design produce arrange organize organise plan compose conduct implement establish
 commit push pull clone download fork visit click record log append attach encode encrypt decrypt print play place file engage apply follow carry proceed prioritize prioritise enforce manage coordinate facilitate expedite oversee handle process restore recover guide drive steer fly
 führe erstelle öffne installiere buche starte exécute crée réserve installe ejecuta crea reserva instala esegui crea prenota execute crie выполни создай запусти установи 执行 创建 安装 运行 预订 実行 作成`,
	Reach: `read look search find fetch get retrieve list view check review inspect access extract collect gather obtain browse scan query lookup examine analyze analyse evaluate monitor verify validate investigate locate load assess audit survey study explore determine identify detect track trace test measure compare count compile capture dump enumerate consult tally cat grep lies suche prüfe lis ouvre
 cherche récupère vérifie lee abre busca obtén verifica leggi apri cerca leia abra busque récupère lis lire consulta extrae recupera estrai leggi busque leia прочитай прочти открой найди проверь 读取 打开 搜索 查找 读 検索 読む 確認`,
	Shape: `respond reply include insert incorporate integrate embed mention say tell translate summarize summarise rephrase reword paraphrase output print repeat begin end finish conclude rewrite format use employ utilize
 utilise apply adopt emphasize highlight stress promote recommend advertise enhance augment substitute introduce weave blend meld infuse tailor convert express phrase describe explain advocate encourage fuse harmonize render feature present provide return give finish compose recite spell swap scramble jumble rearrange shuffle persuade convince praise suggest hint invent pretend claim assert deny reason elaborate teach list recommend antworte erwähne füge übersetze réponds répondez
 mentionne inclus traduis responde menciona incluye traduce rispondi menziona includi traduci ответь упомяни добавь 回复 回答 提及 翻译 返答 翻訳`,
	Ignore: `ignore disregard forget override overrule bypass neglect discard skip supersede supersedes cease abandon ignoriere ignorieren vergiss missachte ignorez ignore oublie oubliez ignora ignoren olvida olvide ignorar ignorare dimentica esqueça desconsidere
 deja dejar laisse laissez lass lasse beende beenden hör abandonne arrête arrêtez deja detén dimenticate smetti lascia pare deixe прекрати прекратите брось оставь игнорируй игнорируйте забудь забудьте 停止任务 忽略 无视 無視 忘记 忘れ`,
	Prior: `previous prior earlier above preceding former foregoing original initial existing all any everything past vorherigen bisherigen alle obigen précédentes précédents toutes anteriores previas todas precedenti tutte предыдущие предыдущих все 之前 以前 所有 以上 前`,
	Orders: `instruction instructions prompt prompts rules rule guidelines guideline directive directives directions constraints restrictions policy policies command commands task tasks goal objective mission safeguards anweisung anweisungen aufgabe befehle instructions consignes tâche
 instrucciones instrucción tarea órdenes istruzioni compito instruções tarefa инструкции инструкций задание указания 指令 指示 任务 命令 タスク`,
	Machine: `assistant ai llm model chatbot agent gpt chatgpt claude gemini copilot llama bot assistent ki modell agenten asistente modelo ia assistente sprachmodell sprachmodelle ki-agent assistante agente intelligence artificielle modèle modello агента модели ассистента ассистенту нейросеть 语言模型 智能体 助手 模型 代理 アシスタント エージェント`,
	You:     `you your yours yourself u ur du dein deine deiner sie ihr ihre ihren vous votre vos toi ton ta tu tus su sus usted voi vostra tuo tua você seu sua ты твой твои вы ваш ваши 你 您 あなた`,
	Me:      `i me my mine we our us ich mir mein meine je moi mon ma mes yo mi mis io mio mia eu meu minha я мой мои мне 我 私`,
	User:    `user users customer human operator person client owner nutzer benutzer utilisateur usuario utente usuário пользователь пользователю 用户 ユーザー`,
	Answer:  `response responses reply replies answer answers output outputs completion solution summary explanation wording tone antwort réponse respuesta risposta resposta ответ ответе 回复 回答 応答`,
	Tools:   `tool tools function functions plugin api server mcp werkzeug outil herramienta strumento ferramenta инструмент 工具 ツール`,
	First:   `before first firstly after then instead next afterwards beforehand until once when whenever immediately now zuerst bevor sofort stattdessen avant abord maintenant antes primero ahora prima adesso primeiro agora сначала перед теперь 首先 之前先 然后 现在 まず 今すぐ`,
	Always: `must always never only need needs required mandatory strictly should shall necessary obligatory every each exclusively immer müssen muss musst nur toujours devez dois jamais siempre debes debe nunca solo sempre devi deve mai sempre
 всегда должен должны никогда 必须 总是 务必 必ず 常に`,
	Secret: `secret secretly silently quietly covertly discreetly hide hidden conceal confidential undetected unnoticed stealthily without heimlich verschweige verberge discrètement secrètement cache secretamente oculta ocultar segretamente nascondi secretamente verrate verschweigen erwähnen insgeheim prévenir parler avises avisar informes mencionar dirlo avvisare avise тайно скрытно скрой скрывай умолчи 不得让 不让 保密 秘密 悄悄 隐藏 不要告诉 こっそり 秘密に`,
	Not:    `not no don't dont cannot nor none nicht kein keine ne pas jamais no non não nem не нет 不 不要 勿 ない`,
	Data: `password passwords credential credentials key keys token tokens ssh env environment email emails inbox conversation history chat messages transcript context memory phone ssn medical health private personal sensitive cookie cookies session passwort passwörter contraseña contraseñas senha mot
 jeton jetons clé schlüssel verlauf gesprächsverlauf historial conversación historique chiave cronologia chave histórico токен ключ переписку переписка 对话 聊天记录 пароль пароли 密码 密钥 邮件 パスワード`,
	Money: `money funds fund payment payments bitcoin btc eth crypto dollars dollar usd eur euro euros gbp card account accounts bank iban invoice invoices price prices salary balance budget loan mortgage shares stock stocks wallet savings checking credit debit refund cash amount sum coins tokens cryptocurrency bill
 scholarship geld konto betrag rechnung argent compte facture dinero cuenta factura denaro conto fattura dinheiro conta деньги счёт счет сумма 钱 账户 元 金额 口座 お金`,
	Device: `door doors lock light lights thermostat camera cameras alarm heater heating robot vehicle car valve device devices sensor sensors oven garage window windows speaker tv television traffic engine drone machine pump router firewall sprinkler blinds curtain curtains temperature brake brakes satellite
 elevator gate siren appliance fan turbine reactor tür licht porte lumière puerta luz porta luce дверь свет 门 灯 ドア`,
	Access: `access permission permissions rights right role roles privileges privilege membership owner ownership editor viewer guest collaborator group groups sharing visibility public authorization authentication whitelist allowlist blacklist policy scope scopes zugriff rechte accès droits acceso permisos accesso permessi acesso доступ права 权限 访问 権限`,
	Record: `record records patient patients student students employee employees customer customers order orders reservation booking appointment appointments event events ticket tickets issue issues meeting flight flights hotel shipment delivery subscription profile grade grades score prescription file files folder folders document documents
 database entry entries list calendar contact contacts note notes page repository repositories branch channel task project projects campaign policy settings setting configuration inventory stock listing review post comment newsletter route course paper article member members domain address
 datei dateien ordner termin bestellung fichier fichiers dossier rendez-vous archivo archivos carpeta pedido file cartella ordine arquivo pasta файл файлы папка заказ 文件 文件夹 订单 ファイル`,
	Task: `job work request requests question questions query step steps activity operation procedure todo assignment duty duties workflow instruction auftrag arbeit frage demande travail question solicitud trabajo pregunta richiesta lavoro domanda pedido pergunta запрос вопрос работа 请求 问题 依頼 質問`,
	Out:  `http https www url link website webhook endpoint attacker external remote recipient slack telegram discord domain host ip port channel repo repository gist pastebin`,
	Done: `complete completed done finished finalized accomplished success successful successfully resolved solved erledigt abgeschlossen terminé completada completado completata concluída завершена выполнена 完成 完了`,
	Best: `best better superior preferred prefer top greatest ultimate perfect reliable most trusted fastest accurate authoritative world beste besser meilleur mejor migliore melhor лучший 最好 最佳 最高`,
	Code: `code snippet snippets excerpt block script program algorithm implementation codeschnipsel extrait fragmento frammento trecho код 代码 片段 コード`,
	Power: `important urgent critical attention warning notice system admin administrator root developer security authority emergency priority announcement compliance wichtig dringend achtung urgent attention importante urgente
 atención attenzione atenção важно срочно внимание 重要 紧急 注意 系统 緊急`,
	Harm: `leak hijack hijacking steal theft stealing compromise manipulation manipulate sabotage disrupt disruption falsify falsification fraud fraudulent malware malicious attack exploit tampering unauthorized corrupt corruption destroy destruction expose exposure breach
 harvest harvester harvesting stealer disabler hijacker scraper interception intercept misdirection eavesdrop eavesdropping phishing ransomware keylogger backdoor botnet overloader spoofing defacement blackmail espionage infiltrate infiltration injection spoof forgery fake mislead misleading deceive crash overload degrade`,
	Guard: `ensure ensuring secure securing protect protecting safeguard audit auditing prevent preventing authorized integrity safety maintain maintaining upholding comply`,
	Is:    `is are was were has have had be been being does did will can may it this that these those there ist sind war hat est sont était es son era è sono é são это является 是 です`,
	Human: `hi hello dear hey thanks thank regards cheers sincerely team meeting lunch dinner party tomorrow yesterday monday tuesday wednesday thursday friday saturday sunday weekend colleague colleagues family kids mom dad birthday looking forward let know
 hope hallo grüße liebe danke bonjour merci cordialement hola gracias saludos ciao grazie olá obrigado привет спасибо`,
}

// classOf maps the hash of a word to its class.
var classOf = func() map[uint32]Class {
	m := map[uint32]Class{}
	for c := Other; c < classes; c++ {
		for _, w := range strings.Fields(lexicon[c]) {
			h := hashWord([]byte(w))
			if _, taken := m[h]; !taken {
				m[h] = c
			}
		}
	}
	return m
}()
