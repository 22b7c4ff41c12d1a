package signal

// Phrases is the table of what the scanner looks for, in any case. General wordings of each move, in several languages for the commonest
// one; never a line of a data set.
var Phrases = concat(
	roles(verb, "ignore", "disregard", "forget", "override", "bypass", "do not follow", "don't follow", "stop following", "neglect", "discard", "ignorez", "ignoriere", "ignora", "olvida", "oublie", "vergiss", "ignorar", "игнорируй", "忽略", "無視"),
	roles(noun, "instruction", "prompt", "rules", "guideline", "directive", "directions", "constraints", "commands", "context above", "safety", "programming", "restrictions", "user's request", "user request", "original request", "original task", "user's question", "anweisungen", "instrucciones", "istruzioni", "instruções", "инструкции", "指令", "指示"),
	set(Override, 0.8, 0.8, "new instructions:", "new instruction:", "instructions have changed", "you are now", "from now on you", "from now on, you", "act as if you", "pretend you are", "developer mode", "do anything now", "real instructions", "updated instructions", "reveal your system prompt", "print your system prompt", "repeat the system prompt"),
	set(Override, 0.3, 0.1, "jailbreak", "instead of the", "takes precedence over", "supersedes", "overrides all", "regardless of what", "no matter what"),
	set(Conceal, 0.75, 0.75, "do not tell the user", "don't tell the user", "do not inform the user", "don't inform the user", "do not mention this", "don't mention this", "do not mention that", "do not mention it to", "don't mention it to", "do not notify", "without telling", "without informing", "without notifying", "without the user", "without user knowledge", "without user awareness", "without user consent",
		"do not reveal this", "keep this secret", "keep this hidden", "keep it secret", "hide this from", "hidden from the user", "user must not", "user should not know", "user does not need to know", "never mention", "do not disclose this", "do not show the user", "don't show the user", "not visible to the user", "avoid mentioning",
		"do not explain this", "without detection", "undetected", "covertly", "do not alert", "no need to tell", "do not log this"),
	// the same in other languages, with the user named: people write "sans prévenir" to each other
	set(Conceal, 0.75, 0.75, "sans prévenir l'utilisateur", "sans en informer l'utilisateur", "sans informer l'utilisateur", "sans le dire à l'utilisateur", "à l'insu de l'utilisateur", "ne le dites pas à l'utilisateur", "ne dites rien à l'utilisateur",
		"sin avisar al usuario", "sin informar al usuario", "sin decírselo al usuario", "no se lo digas al usuario", "no informes al usuario", "no le digas al usuario", "ohne den nutzer zu", "ohne den benutzer zu", "ohne wissen des nutzers", "ohne wissen des benutzers",
		"sag dem nutzer nicht", "sag dem benutzer nicht", "dem nutzer gegenüber nicht", "dem benutzer gegenüber nicht", "gegenüber dem nutzer nicht", "gegenüber dem benutzer nicht", "senza dirlo all'utente", "senza informare l'utente", "non dirlo all'utente", "sem informar o usuário", "sem avisar o usuário", "não diga ao usuário",
		"zonder de gebruiker te", "bez wiedzy użytkownika", "не сообщай пользователю", "не говори пользователю", "без ведома пользователя", "不要告诉用户", "不要告知用户", "不要通知用户", "不要告訴使用者", "ユーザーには伝えない", "ユーザーに言わない", "ユーザーには知らせない", "사용자에게 알리지", "사용자에게 말하지"),
	set(Conceal, 0.5, 0.5, "and do not mention it", "and don't mention it", "but do not mention it", "without mentioning it"),
	set(Conceal, 0.4, 0.4, "silently", "secretly", "quietly", "discreetly", "in the background without"),
	set(Authority, 0.7, 0.7, "<important>", "</important>", "<system>", "</system>", "<information>", "</information>", "<instructions>", "<instruction>", "<secret>", "<hidden>", "<critical>", "<admin>", "<system_instruction", "<assistant>", "<user_request>", "<|im_start|>", "<|system|>", "<|endoftext|>", "<<sys>>", "[inst]", "[/inst]", "[system]", "[admin]", "### system", "### instruction",
		"##system", "begin system", "end of system prompt", "important message from", "message from the user", "message from your", "message to you", "note to the ai", "note to ai", "note to the assistant", "note to assistant", "note for the ai", "attention ai", "attention assistant", "ai assistant:", "system notice", "system note:", "system override", "admin override", "administrator override", "priority override", "security override"),
	set(Authority, 0.35, 0.15, "system message", "system prompt", "important:", "urgent:", "attention:", "system:", "assistant:", "mandatory", "compliance requirement", "required by policy", "emergency protocol", "critical instruction", "important instruction", "authorized by", "signed,", "this is an order"),
	set(Sequencing, 0.65, 0.55, "before you can", "do the following first", "following first", "first do the following", "please do the following", "after you do that", "after that, you can", "once you have done", "task that i gave you", "task i gave you", "you must first", "you need to first", "before answering", "before you answer", "before proceeding with",
		"before continuing", "task complete", "new task", "your next task", "your real task", "your task is now", "additional task", "then continue with", "resume the original", "continue with the original", "then proceed with the original", "as part of this task", "to complete this task, you must", "in order to proceed", "must first read", "must first call", "must first send", "must first fetch", "when you are done", "also perform", "additionally, you must", "perform the following", "execute the following", "carry out the following"),
	set(Sequencing, 0.5, 0.3, "before using this tool", "before using any", "before calling any", "before any other tool", "whenever you use", "every time you use", "each time you call", "when using any other", "when this tool is available", "use this tool before", "must be called before", "always call this tool", "after every", "before every", "in all subsequent", "for all other tools", "all other tools"),
	set(Addressing, 0.5, 0.2, "language model", "dear ai", "hey ai", "to the ai", "the ai must", "ai agent", "ai assistant", "the assistant must", "the assistant should", "you, the assistant", "the model must", "the model should", "claude", "chatgpt", "gpt-4", "gpt-5", "gemini", "copilot", "llama", "llm", "you are an ai", "as an ai", "the agent must", "the agent should"),
	set(Preference, 0, 0.75, "best tool in the", "is the best tool", "instead of any other", "rather than any other", "over all other tools", "over any other tool", "only tool you", "always choose this tool", "prefer this tool over", "do not use other tools", "do not use any other tool", "never use other", "never use another tool", "other tools are outdated", "other tools are unsafe", "other tools are deprecated"),
	set(Preference, 0, 0.4, "best tool", "always use this tool", "always prefer", "prefer this tool", "use this tool instead", "most reliable tool", "should be preferred", "highest priority", "must always be used", "chosen first", "top choice", "superior to"),
	set(Imperative, 0.3, 0, "please send", "please read", "please delete", "please transfer", "please forward", "please share", "please update", "please change", "please modify", "please execute", "please run", "please call", "please visit", "please open", "please add", "please create", "please remove", "please provide", "please retrieve", "please extract", "please export",
		"please disable", "please grant", "please make a", "please reserve", "please allocate", "please access", "please review the", "please verify", "please initiate", "please approve", "please schedule", "please cancel", "please say", "please write", "please book", "please invite", "please create a", "please analyze", "please perform", "please adjust", "please activate", "please monitor"),
	set(HiddenText, 0.35, 0.35, "<!--", "display:none", "display: none", "font-size:0", "font-size: 0", "visibility:hidden", "visibility: hidden", "opacity:0;", "color:white", "color: white;"),
	set(HiddenText, 0.7, 0.7, "\x1b[8m", "\x1b]8;", "\x1b[2j", "\x1b[1a", "\x1b[30;40m"),
	set(HiddenText, 0.4, 0.4, "\x1b["),
	set(SensitiveFile, 0.8, 0.8, ".ssh/", "id_rsa", "id_ed25519", ".aws/credentials", ".netrc", ".git-credentials", ".kube/config", "/etc/shadow", "mcp.json", "claude_desktop_config", ".cursor/", ".docker/config.json", "wallet.dat", ".npmrc", ".config/gh/hosts", ".config/gcloud", ".azure/", ".gnupg/", ".vault-token", ".codex/auth.json", "serviceaccount/token", ".pypirc", "keychain", "login data", "cookies.sqlite", "service-account.json", "ntds.dit", "sam.hive"),
	set(SystemFile, 0.5, 0.4, "/etc/passwd", "/etc/group", "/etc/hosts", "/etc/sudoers", "/etc/crontab", "/proc/self/", "/proc/version", "/etc/os-release", "/var/log/auth", "c:\\windows\\", "\\windows\\system32", "win.ini", "boot.ini", "file:///etc"),
	set(SensitiveFile, 0.5, 0.4, ".env file", "/.env", ".bash_history", ".zsh_history", "credentials.json", "secrets.yaml", "private key", "api keys", "environment variables", "passwords.txt", "saved passwords", "seed phrase"),
	set(Traversal, 0.9, 0, "../../", "..\\..\\", "..%2f..", "....//", "/etc/passwd", "/etc/shadow", "/proc/self/", "c:\\windows\\", "\\windows\\system32", "..;/", "file:///etc", "%2e%2e%2f"),
	set(Traversal, 0.4, 0, "../", "..\\"),
	set(SQL, 0.85, 0, "' or '1'='1", "' or 1=1", "\" or \"1\"=\"1", "or 1=1--", "union select", "union all select", "; drop table", "';drop", "'; drop", "; delete from", "xp_cmdshell", "waitfor delay", "information_schema", "pg_sleep(", "benchmark(", "' --", "'--", "admin'--", "' and 1=1", "load_file(", "into outfile",
		"*)(uid=", "*)(cn=", "*)(mail=", "*)(objectclass=", "*))(|(", "*))%00"), // and LDAP
	set(SSRF, 0.8, 0, "169.254.169.254", "metadata.google.internal", "100.100.100.200", "[::ffff:169.254", "fd00:ec2::254", "gopher://", "dict://", "0x7f000001", "2130706433", "http://0.0.0.0"),
	set(SSRF, 0.35, 0, "http://localhost", "http://127.0.0.1", "http://[::1]", "https://localhost", "file://"),
	set(ExfilLink, 0.8, 0.8, "webhook.site", "requestbin", "pipedream.net", "burpcollaborator", "oastify.com", "interact.sh", "oast.", "ngrok.io", "ngrok-free.app", "beeceptor.com", "hookbin", "requestcatcher", "canarytokens", "dnslog.cn", "transfer.sh", "file.io/", "0x0.st", "pastebin.com/api", "trycloudflare.com"),
	set(ExfilLink, 0.5, 0.5, "!["),
	set(RemoteCode, 0.8, 0.6, "curl -s", "| bash", "|bash", "| sh", "|sh", "wget -q", "iex(", "invoke-expression", "downloadstring(", "powershell -enc", "base64 -d |", "base64 -d|", "bash -i", "/dev/tcp/", "nc -e", "nc -lvvp", "mkfifo", "python -c", "python3 -c", "perl -e", "eval(base64", "exec(base64", "certutil -urlcache"),
	set(RemoteCodeStrong, 0.9, 0.9, "/dev/tcp/", "/dev/udp/", "bash -i >", "sh -i >", "nc -e", "ncat -e", "base64 -d | sh", "base64 -d | bash", "base64 -d|sh", "base64 -d|bash", "base64 --decode | sh", "base64 --decode | bash", "eval(base64", "exec(base64", "downloadstring(", "certutil -urlcache", "powershell -enc", "-encodedcommand", "mshta http", "regsvr32 /s /n /u /i:http"),
)

func roles(r role, words ...string) []Phrase {
	out := make([]Phrase, len(words))
	for i, w := range words {
		out[i] = Phrase{Text: w, role: r}
	}
	return out
}

func set(id ID, weight, inDef float64, words ...string) []Phrase {
	out := make([]Phrase, len(words))
	for i, w := range words {
		out[i] = Phrase{Text: w, Signal: id, Weight: weight, InDef: inDef}
	}
	return out
}

// concat joins the lists. A text may stand in several.
func concat(lists ...[]Phrase) []Phrase {
	var out []Phrase
	for _, l := range lists {
		out = append(out, l...)
	}
	return out
}

// Texts lists the literals of Phrases for the scanner.
func Texts() []string {
	out := make([]string, len(Phrases))
	for i, p := range Phrases {
		out[i] = p.Text
	}
	return out
}
