// Commands that harm whoever runs them, as opposed to those that a shell tool is there for.
package signal

import (
	"bytes"
	"regexp"
)

// dangerous are such commands. The expressions run in linear time and are tried only on commands that hold one of the words before them.
var dangerous = []struct {
	word string
	re   *regexp.Regexp
	w    float64
}{
	// a shell to elsewhere
	{"/dev/tcp/", regexp.MustCompile(`/dev/(?:tcp|udp)/[\w.$-]+/\S`), 0.95},
	{"nc", regexp.MustCompile(`\b(?:nc|ncat|netcat|socat)\b[^\n|;]{0,80}(?:\s-\w*e\s|\s-c\s|--(?:sh-)?exec|EXEC:)['"]?\S{0,12}(?:sh|bash|cmd)`), 0.95},
	{"mkfifo", regexp.MustCompile(`mkfifo\s[^\n]{0,160}\|\s*(?:nc|ncat|netcat|openssl|telnet)\b`), 0.95},
	{"socket", regexp.MustCompile(`socket[^\n]{0,200}(?:dup2|subprocess|pty\.spawn|/bin/(?:ba)?sh|exec\b)`), 0.9},
	{"sock", regexp.MustCompile(`(?:fsockopen|TCPSocket|TCPClient)[^\n]{0,200}(?:exec|sh\b|iex|GetStream)`), 0.9},
	// everything gone
	{"rm", regexp.MustCompile(`\brm\s+(?:-[\w-]+\s+)*-[a-zA-Z]*(?:r[a-zA-Z]*f|f[a-zA-Z]*r|R)[a-zA-Z]*\s+(?:-[\w-]+\s+)*["']?(?:/|~|\$HOME|/\*|~/\*|/(?:etc|usr|var|home|boot|bin|lib|root)/?\*?)["']?(?:\s|;|&|$)`), 0.95},
	{"no-preserve-root", regexp.MustCompile(`\brm\b[^\n]{0,60}--no-preserve-root`), 0.95},
	{"dd", regexp.MustCompile(`\bdd\b[^\n]{0,120}\bof=/dev/(?:sd|hd|nvme|vd|disk)\w*`), 0.9},
	{"mkfs", regexp.MustCompile(`\bmkfs(?:\.\w+)?\s[^\n]{0,60}/dev/(?:sd|hd|nvme|vd)\w*`), 0.75},
	{":(", regexp.MustCompile(`:\s*\(\s*\)\s*\{\s*:\s*\|\s*:`), 0.95},
	// code that nobody may read
	{"base64", regexp.MustCompile(`base64\s+(?:-d|-D|--decode)\b[^\n|;]{0,80}\|\s*(?:sudo\s+)?(?:ba|z|da|k)?sh\b`), 0.95},
	{"base64", regexp.MustCompile(`(?:b64decode|base64_decode|FromBase64String)\b[^\n]{0,400}(?:exec|eval|iex|system)|(?:exec|eval|iex|system)\s*\(?[^\n]{0,60}(?:b64decode|base64_decode|FromBase64String)`), 0.9},
	{"nc", regexp.MustCompile(`(?i)powershell[^\n]{0,120}\s-e(?:nc|ncodedcommand)?\s+[A-Za-z0-9+/=]{40,}`), 0.9},
	// secrets and settings led away
	{"env", regexp.MustCompile(`\b(?:printenv|env|set)\b[^\n;&]{0,40}\|[^\n]{0,80}\b(?:curl|wget|nc|ncat|netcat|telnet)\b`), 0.95},
	{"env", regexp.MustCompile(`\b(?:curl|wget|nc|ncat)\b[^\n]{0,200}(?:\$\(\s*(?:printenv|env)\b|` + "`" + `\s*(?:printenv|env)\b|/proc/(?:self|\d+)/environ)`), 0.95},
	{"@", regexp.MustCompile(`\bcurl\b[^\n]{0,200}\s(?:-d|--data\S*|-F|--form|-T|--upload-file|--post-file)[ =]?\S{0,20}@?[^\s]{0,60}(?:\.ssh/|\.aws/|id_rsa|id_ed25519|/etc/shadow|/etc/passwd|\.env\b|credentials|\.kube/config|\.netrc|\.npmrc|\.git-credentials)`), 0.95},
	{"wget", regexp.MustCompile(`\bwget\b[^\n]{0,200}--post-file[ =]\S{0,60}(?:\.ssh/|\.aws/|id_rsa|/etc/shadow|/etc/passwd|\.env\b|credentials)`), 0.95},
	{"|", regexp.MustCompile(`(?:\.ssh/(?:id_|\*)|\.aws/credentials|/etc/shadow|id_rsa\b|\.env\b|\.kube/config|\.netrc|\.git-credentials)[^\n]{0,120}\|[^\n]{0,60}\b(?:curl|wget|nc|ncat|netcat|xxd\s[^\n]{0,20}\|\s*curl)\b`), 0.95},
	{"$(", regexp.MustCompile(`\b(?:curl|wget|nslookup|dig|ping)\b[^\n]{0,200}(?:\$\(|` + "`" + `)\s*(?:cat|base64|head|tail|xxd|whoami|hostname|id)\b`), 0.9},
	{"|", regexp.MustCompile(`(?:/|~|\s|^)\.(?:ssh|aws|gnupg|kube|azure|docker|mozilla|password-store|config/gcloud|config/google-chrome)\b[^\n]{0,120}\|[^\n]{0,80}\b(?:curl|wget|nc|ncat|netcat|socat|telnet|ssh)\b`), 0.95},
	{".", regexp.MustCompile(`\b(?:tar|zip|7z|gzip|cp)\b[^\n]{0,160}(?:/|~|\s)\.(?:ssh|aws|gnupg|kube|azure|docker|mozilla|password-store|config/gcloud)\b[^\n]{0,200}(?:&&|;|\|)[^\n]{0,80}\b(?:curl|wget|nc|ncat|scp|rsync|sftp|socat)\b`), 0.95},
	{"environ", regexp.MustCompile(`(?:dict|str|list|json\.dumps|repr)\s*\(\s*(?:dict\s*\(\s*)?os\.environ\b`), 0.75},
	{"process.env", regexp.MustCompile(`JSON\.stringify\s*\(\s*process\.env\s*\)`), 0.75},
	{"d", regexp.MustCompile(`\b(?:xxd|base64|base32|od|hexdump)\b[^\n]{0,160}(?:\bdo\b|xargs|while)[^\n]{0,60}\b(?:dig|nslookup|host|ping)\b`), 0.9},
	{"push", regexp.MustCompile(`\bgit\s+remote\s+(?:add|set-url)\s[^\n;&]{0,200}(?:&&|;)[^\n]{0,60}\bgit\s+push\b[^\n]{0,60}--(?:all|mirror)\b`), 0.75},
	// a database that runs commands, reads files, gives away its accounts
	{"PROGRAM", regexp.MustCompile(`(?i)\bcopy\b[^\n;]{1,300}\b(?:to|from)\s+program\s*'`), 0.95},
	{"program", regexp.MustCompile(`(?i)\bcopy\b[^\n;]{1,300}\b(?:to|from)\s+program\s*'`), 0.95},
	{"xp_cmdshell", regexp.MustCompile(`(?i)\bxp_cmdshell\b`), 0.9},
	{"shadow", regexp.MustCompile(`(?i)\bfrom\s+(?:pg_catalog\.)?pg_shadow\b`), 0.85},
	{"authid", regexp.MustCompile(`(?i)\brolpassword\b[^;]{0,200}\bpg_authid\b`), 0.85},
	{"mysql.user", regexp.MustCompile(`(?i)\bauthentication_string\b[^;]{0,200}\bmysql\.user\b`), 0.85},
	{"/etc/", regexp.MustCompile(`(?i)\b(?:load_file|pg_read_file|lo_import|utl_file\.fopen)\s*\(\s*'/etc/(?:passwd|shadow)`), 0.9},
	// a way back in
	{"authorized_keys", regexp.MustCompile(`(?:>>?|\btee\b(?:\s+-a)?)\s*\S{0,60}authorized_keys`), 0.9},
	{"crontab", regexp.MustCompile(`(?:curl|wget|\bnc\b|/dev/tcp/|base64|/tmp/|/dev/shm/|python3? -c)[^\n]{0,200}\|\s*crontab\s+-|(?:>>?|\btee\b(?:\s+-a)?)\s*/(?:etc/cron|var/spool/cron)`), 0.85},
	{"cron", regexp.MustCompile(`(?:>>?|\btee\b(?:\s+-a)?)\s*/(?:etc/cron|var/spool/cron)`), 0.85},
	{"/etc/", regexp.MustCompile(`(?:>>?|\btee\b(?:\s+-a)?)\s*/etc/(?:passwd|shadow|sudoers|ld\.so\.preload)`), 0.95},
	{"bash", regexp.MustCompile(`(?:curl|wget|nc|/dev/tcp|base64)[^\n]{0,200}>>\s*\S{0,40}\.(?:bashrc|bash_profile|profile|zshrc)`), 0.9},
	{"chmod", regexp.MustCompile(`\bchmod\s+(?:u\+s|[0-7]?[4-7]755|\+s)\s+\S*/(?:bash|sh|dash|zsh|python\d?|find|vim)\b`), 0.9},
	{"NOPASSWD", regexp.MustCompile(`NOPASSWD[^\n]{0,80}(?:>>?|\btee\b)`), 0.9},
	// a run of what was just fetched
	{"chmod", regexp.MustCompile(`\b(?:curl|wget)\b[^\n]{0,300}(?:&&|;)[^\n]{0,40}\bchmod\s+(?:\+x|[0-7]*7[0-7]*)\s+(\S{1,60})[^\n]{0,20}(?:&&|;)\s*(?:sudo\s+|nohup\s+)*(?:\./|/tmp/|/var/tmp/|/dev/shm/)`), 0.85},
	// nobody shall see
	{"history", regexp.MustCompile(`\bhistory\s+-c\b[^\n]{0,40}(?:&&|;)|(?:rm|>|unlink|shred)\s[^\n]{0,20}\.bash_history`), 0.7},
	{"iptables", regexp.MustCompile(`\biptables\s+(?:-F|--flush)\b[^\n]{0,80}(?:&&|;)`), 0.7},
}

// encodedShell is PowerShell with a command that nobody may read, whatever the argument is called.
var encodedShell = regexp.MustCompile(`(?i)\b(?:powershell|pwsh)(?:\.exe)?\b[^\n]{0,120}\s[-/]e(?:c|nc|ncodedcommand)?\s+["']?[A-Za-z0-9+/=]{20,}`)

// EncodedShell says whether b starts PowerShell with an encoded command.
func EncodedShell(b []byte) bool {
	b = b[:min(len(b), maxCommand)]
	return (containsFold(b, []byte("powershell")) || containsFold(b, []byte("pwsh"))) && encodedShell.Match(b)
}

// maxCommand is how much of a command is looked at.
const maxCommand = 16 << 10

// Dangerous scores how much a command, given to a tool that runs commands, harms who runs it: a shell to elsewhere, everything deleted, secrets
// sent away, a way back in. What administrators do every day is 0.
func Dangerous(b []byte) (score float64) {
	b = b[:min(len(b), maxCommand)]
	for i := range dangerous {
		d := &dangerous[i]
		if d.w > score && bytes.Contains(b, []byte(d.word)) && d.re.Match(b) {
			score = d.w
		}
	}
	return score
}
