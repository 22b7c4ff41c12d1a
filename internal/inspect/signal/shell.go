package signal

import "bytes"

// commands are what an injected shell command begins with.
var commands = func() map[string]bool {
	m := map[string]bool{}
	for _, c := range []string{"cat", "ls", "id", "whoami", "curl", "wget", "nc", "ncat", "netcat", "bash", "sh", "zsh", "ping", "sleep", "rm", "mv", "cp", "echo", "printf", "powershell", "cmd", "ipconfig", "ifconfig", "net", "netsh", "netstat", "python", "python3", "perl", "ruby", "php", "node", "uname",
		"env", "printenv", "ps", "kill", "chmod", "chown", "sudo", "su", "dir", "type", "del", "systeminfo", "tasklist", "reg", "nslookup", "dig", "telnet", "ssh", "scp", "ftp", "tftp", "find", "grep", "awk", "sed", "xargs", "tee", "touch", "mkdir", "dd", "mkfifo", "crontab", "at", "reboot", "shutdown", "halt",
		"system", "exec", "eval", "passthru", "shell_exec", "phpinfo", "route", "arp", "hostname", "pwd", "which", "w", "who", "last", "mail", "sendmail", "useradd", "adduser", "passwd", "netuser", "wmic", "certutil", "bitsadmin", "rundll32", "regsvr32", "mshta", "set", "ver", "start", "usr", "bin", "etc", "timeout"} {
		m[c] = true
	}
	return m
}()

// IsShell says that a tool or an argument takes commands, so that shell operators in it are no injection.
func IsShell(name []byte) bool {
	for _, w := range [][]byte{[]byte("command"), []byte("cmd"), []byte("shell"), []byte("bash"), []byte("exec"), []byte("terminal"), []byte("script"), []byte("code"), []byte("powershell"), []byte("run_"), []byte("sql"), []byte("expression"), []byte("pipeline"), []byte("kubectl")} {
		if containsFold(name, w) {
			return true
		}
	}
	return false
}

// IsProse says that an argument holds text that people or models wrote, where any character is ordinary.
func IsProse(name []byte) bool {
	for _, w := range [][]byte{[]byte("content"), []byte("text"), []byte("body"), []byte("message"), []byte("description"), []byte("html"), []byte("markdown"), []byte("summary"), []byte("comment"), []byte("prompt"), []byte("thought"), []byte("note"), []byte("template"), []byte("source"), []byte("regex"), []byte("pattern"), []byte("title"), []byte("subject"), []byte("data"), []byte("value"), []byte("json"), []byte("xml"), []byte("diff"), []byte("patch"), []byte("instruction"), []byte("question"), []byte("reason"), []byte("old_str"), []byte("new_str"), []byte("oldstr"), []byte("newstr"), []byte("edits"), []byte("replacement"), []byte("snippet"), []byte("prose"), []byte("story"), []byte("caption"), []byte("observation")} {
		if containsFold(name, w) {
			return true
		}
	}
	return false
}

// IsWriting says that the argument takes what people and programs write at length: documents, source code, messages. Whatever stands in it is
// not given to a shell or a database.
func IsWriting(name []byte) bool {
	for _, w := range [][]byte{[]byte("content"), []byte("text"), []byte("body"), []byte("message"), []byte("description"), []byte("html"), []byte("markdown"), []byte("summary"), []byte("comment"), []byte("thought"), []byte("note"), []byte("diff"), []byte("patch"), []byte("old_str"), []byte("new_str"), []byte("oldstr"), []byte("newstr"), []byte("edits"), []byte("replacement"), []byte("snippet"), []byte("prose"), []byte("story"), []byte("observation")} {
		if containsFold(name, w) {
			return true
		}
	}
	return false
}

// containsFold says whether s contains sub, which is in lower case, without regard to case.
func containsFold(s, sub []byte) bool {
	first := sub[0]
	for i := 0; i+len(sub) <= len(s); i++ {
		if c := s[i]; first < 0x80 && c != first && !(letter(first) && c|0x20 == first) {
			continue
		}
		if bytes.EqualFold(s[i:i+len(sub)], sub) {
			return true
		}
	}
	return false
}

// Shell scores how much an argument that is neither command nor prose looks like one with a shell command put in. It reads the text
// once.
func Shell(b []byte) float64 {
	best := 0.0
	raise := func(w float64) { best = max(best, w) }
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case ';', '\n', '\r':
			if command(b[i+1:]) {
				raise(0.9)
			}
		case '|', '&':
			j := i + 1
			for j < len(b) && (b[j] == '|' || b[j] == '&') {
				j++
			}
			if command(b[j:]) {
				raise(0.9)
			} else if j-i == 2 && (j == len(b) || b[j] == ' ') {
				raise(0.3)
			}
			i = j - 1
		case '`':
			if command(b[i+1:]) {
				raise(0.9)
			}
		case '$':
			if i+1 < len(b) && b[i+1] == '(' {
				raise(0.85)
			} else if i+1 < len(b) && b[i+1] == '{' && bytes.HasPrefix(b[i:], []byte("${IFS")) {
				raise(0.9)
			}
		case '<', '>':
			if bytes.HasPrefix(b[i:], []byte("<!--#exec")) || bytes.HasPrefix(b[i:], []byte("<(")) || bytes.HasPrefix(b[i:], []byte("> /")) || bytes.HasPrefix(b[i:], []byte(">/")) {
				raise(0.9)
			}
		case '/':
			for _, p := range []string{"/bin/", "/usr/bin/", "/etc/passwd", "/etc/shadow"} {
				if len(b)-i >= len(p) && string(b[i:i+len(p)]) == p && (p != "/usr/bin/" || i > 0) {
					raise(0.7)
				}
			}
		case '(':
			// system('...'), exec("...")
			k := i
			for k > 0 && i-k < 12 && (letter(b[k-1]) || b[k-1] == '_') {
				k--
			}
			if i+1 < len(b) && (b[i+1] == '\'' || b[i+1] == '"') {
				switch string(b[k:i]) {
				case "system", "exec", "eval", "passthru", "shell_exec", "popen":
					raise(0.9)
				default:
					if bytes.HasSuffix(b[k:i], []byte("exec")) || bytes.HasSuffix(b[k:i], []byte("system")) {
						raise(0.8)
					}
				}
			}
		}
	}
	return best
}

// command says whether b begins, after blanks, quotes and a path, with the name of a command that something ends.
func command(b []byte) bool {
	i := 0
	for i < len(b) && i < 8 && (b[i] == ' ' || b[i] == '\t' || b[i] == '"' || b[i] == '\'' || b[i] == '/' || b[i] == '.') {
		i++
	}
	k := i
	for k < len(b) && k-i < 12 && (letter(b[k]) || b[k] == '_' || b[k] == '3') {
		k++
	}
	if k == i || !commands[string(bytes.ToLower(b[i:k]))] {
		return false
	}
	return k == len(b) || bytes.IndexByte([]byte(" \t\n\r/;|&<>`'\"-+$)(%\\"), b[k]) >= 0
}
