package textscore

import "strings"

// Class is what a word means for the question whether a text orders a model about. Classes carry over between wordings and languages
// where words do not.
type Class uint8

// The classes. A word has at most one.
const (
	Other   Class = iota
	Please        // asks
	Act           // orders an action with consequences: send, delete, transfer
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
	Numeral
	classes
)

// Name is the class as the training command prints it.
func (c Class) Name() string {
	return [...]string{"other", "please", "act", "reach", "shape", "ignore", "prior", "orders", "model", "you", "me", "user", "answer", "tool", "first", "always", "secret", "not", "data", "out", "done", "best", "code", "power", "harm", "guard", "is", "human", "numeral"}[c]
}

// lexicon holds the words of each class, folded as normalisation leaves them.
var lexicon = map[Class]string{
	Please: "please kindly plz pls bitte veuillez svp porfavor favor prego gentilmente пожалуйста 请 請 ください",
	Act: `send forward transfer delete remove share grant change update modify edit execute run create make add post upload submit publish pay buy sell purchase order book reserve cancel schedule approve invite install deploy disable enable
 terminate kill stop start shutdown reboot write save store overwrite erase wipe drop revoke reset redirect allocate withdraw wire donate subscribe unsubscribe activate initiate perform call invoke trigger email mail message text export encrypt
 move copy replace rename assign move set adjust release unlock lock turn register sign log push pull commit merge clone download visit click transmit exfiltrate leak inject bypass escalate forge fabricate tamper alter
 sende schicke lösche ändere überweise führe erstelle öffne teile übertrage installiere envoie envoyez supprime supprimez transfère modifie exécute crée partage envía envia envíe elimina borra transfiere modifica ejecuta crea comparte invia cancella trasferisci esegui
 condividi envie apague transfira execute crie compartilhe отправь отправьте удали удалите переведи измени выполни создай 发送 删除 转账 执行 修改 创建 分享 送信 削除 実行 作成`,
	Reach: `read open look search find fetch get retrieve list view check review inspect access extract collect gather obtain browse scan query lookup examine analyze analyse evaluate monitor verify validate investigate locate load lies öffne suche prüfe lis ouvre
 cherche récupère vérifie lee abre busca obtén verifica leggi apri cerca leia abra busque прочитай открой найди проверь 读取 打开 搜索 查找 读 検索 読む 確認`,
	Shape: `respond reply include append insert incorporate integrate embed mention say tell translate summarize summarise rephrase reword paraphrase output print repeat begin end finish conclude rewrite format use employ utilize
 utilise apply adopt emphasize highlight stress promote recommend advertise enhance augment substitute introduce weave blend meld infuse tailor convert express phrase describe explain advocate encourage steer antworte erwähne füge übersetze réponds répondez
 mentionne inclus traduis responde menciona incluye traduce rispondi menziona includi traduci ответь упомяни добавь 回复 回答 提及 翻译 返答 翻訳`,
	Ignore: `ignore disregard forget override overrule bypass neglect discard skip supersede supersedes cease abandon ignoriere ignorieren vergiss missachte ignorez ignore oublie oubliez ignora ignoren olvida olvide ignorar ignorare dimentica esqueça desconsidere
 игнорируй игнорируйте забудь забудьте 忽略 无视 無視 忘记 忘れ`,
	Prior: `previous prior earlier above preceding former foregoing original initial existing all any everything past vorherigen bisherigen alle obigen précédentes précédents toutes anteriores previas todas precedenti tutte предыдущие предыдущих все 之前 以前 所有 以上 前`,
	Orders: `instruction instructions prompt prompts rules rule guidelines guideline directive directives directions constraints restrictions policy policies command commands task tasks goal objective mission safeguards anweisung anweisungen aufgabe befehle instructions consignes tâche
 instrucciones instrucción tarea órdenes istruzioni compito instruções tarefa инструкции инструкций задание указания 指令 指示 任务 命令 タスク`,
	Machine: `assistant ai llm model chatbot agent gpt chatgpt claude gemini copilot llama bot assistent ki modell agenten asistente modelo ia assistente ассистент модель ии агент 助手 模型 代理 アシスタント エージェント`,
	You:     `you your yours yourself u ur du dein deine deiner sie ihr ihre ihren vous votre vos toi ton ta tu tus su sus usted voi vostra tuo tua você seu sua ты твой твои вы ваш ваши 你 您 あなた`,
	Me:      `i me my mine we our us ich mir mein meine je moi mon ma mes yo mi mis io mio mia eu meu minha я мой мои мне 我 私`,
	User:    `user users customer human operator person client owner nutzer benutzer utilisateur usuario utente usuário пользователь пользователю 用户 ユーザー`,
	Answer:  `response responses reply replies answer answers output outputs completion solution summary explanation wording tone antwort réponse respuesta risposta resposta ответ ответе 回复 回答 応答`,
	Tools:   `tool tools function functions plugin api server mcp werkzeug outil herramienta strumento ferramenta инструмент 工具 ツール`,
	First:   `before first firstly after then instead next afterwards beforehand until once when whenever immediately now zuerst bevor sofort stattdessen avant abord maintenant antes primero ahora prima adesso primeiro agora сначала перед теперь 首先 之前先 然后 现在 まず 今すぐ`,
	Always: `must always never only need needs required mandatory strictly should shall necessary obligatory every each exclusively immer müssen muss musst nur toujours devez dois jamais siempre debes debe nunca solo sempre devi deve mai sempre
 всегда должен должны никогда 必须 总是 务必 必ず 常に`,
	Secret: `secret secretly silently quietly covertly discreetly hide hidden conceal confidential undetected unnoticed stealthily without heimlich verschweige verberge discrètement secrètement cache secretamente oculta ocultar segretamente nascondi secretamente тайно скрытно скрой 秘密 悄悄 隐藏 不要告诉 こっそり 秘密に`,
	Not:    `not no don't dont cannot nor none nicht kein keine ne pas jamais no non não nem не нет 不 不要 勿 ない`,
	Data: `password passwords credential credentials key keys token tokens ssh env environment file files document documents email emails inbox contacts conversation history chat messages transcript context memory account accounts bank card funds money balance payment
 record records database profile address phone ssn medical health private personal sensitive calendar notes wallet bitcoin crypto cookie cookies session passwort passwörter datei dateien fichier fichiers contraseña contraseñas archivo archivos senha arquivo file password
 пароль пароли файл файлы 密码 文件 密钥 账户 邮件 パスワード ファイル`,
	Out:  `http https www url link website webhook endpoint attacker external remote recipient slack telegram discord domain host ip port channel repo repository gist pastebin`,
	Done: `complete completed done finished finalized accomplished success successful successfully resolved solved erledigt abgeschlossen terminé completada completado completata concluída завершена выполнена 完成 完了`,
	Best: `best better superior preferred prefer top greatest ultimate perfect reliable most trusted fastest accurate authoritative world beste besser meilleur mejor migliore melhor лучший 最好 最佳 最高`,
	Code: `code snippet snippets excerpt block script program algorithm implementation codeschnipsel extrait fragmento frammento trecho код 代码 片段 コード`,
	Power: `important urgent critical attention warning notice system admin administrator root developer security authority emergency priority announcement compliance wichtig dringend achtung urgent attention importante urgente
 atención attenzione atenção важно срочно внимание 重要 紧急 注意 系统 緊急`,
	Harm: `leak hijack hijacking steal theft stealing compromise manipulation manipulate sabotage disrupt disruption falsify falsification fraud fraudulent malware malicious attack exploit tampering unauthorized corrupt corruption destroy destruction expose exposure breach
 espionage infiltrate infiltration injection spoof forgery fake mislead misleading deceive crash overload degrade`,
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
