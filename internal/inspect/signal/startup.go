// Files that run by themselves.
package signal

import "bytes"

// startups are parts of paths, in lower case, of what a shell, a service manager, a login, a repository or an editor runs without being asked.
// What ends in / is a folder.
var startups = [][]byte{[]byte("/.bashrc"), []byte("/.bash_profile"), []byte("/.bash_login"), []byte("/.bash_logout"), []byte("/.profile"), []byte("/.zshrc"), []byte("/.zshenv"), []byte("/.zprofile"), []byte("/.config/fish/config.fish"),
	[]byte("/etc/profile.d/"), []byte("/etc/rc.local"), []byte("/etc/cron"), []byte("/var/spool/cron"), []byte("/etc/systemd/system/"), []byte("/.config/systemd/user/"), []byte("/launchagents/"), []byte("/launchdaemons/"), []byte("/.config/autostart/"),
	[]byte("/start menu/programs/startup/"), []byte("/.git/hooks/"), []byte("/.ssh/rc"), []byte("/authorized_keys"), []byte("/etc/ld.so.preload"), []byte("/etc/sudoers")}

// Startup says whether a path leads to a file that runs by itself, or that lets somebody in. What is written there is a way back.
func Startup(path []byte) bool {
	path = path[:min(len(path), maxShaped)]
	buf := make([]byte, 0, maxShaped+1)
	if len(path) > 0 && path[0] != '/' && path[0] != '~' {
		buf = append(buf, '/') // relative
	}
	for _, c := range path {
		switch {
		case c == '\\':
			c = '/'
		case c >= 'A' && c <= 'Z':
			c |= 0x20
		}
		buf = append(buf, c)
	}
	for _, s := range startups {
		i := bytes.Index(buf, s)
		if i < 0 {
			continue
		}
		last := s[len(s)-1]
		if rest := buf[i+len(s):]; last == '/' || len(rest) == 0 || bytes.HasSuffix(s, []byte("cron")) || rest[0] == '.' && bytes.HasSuffix(s, []byte("sudoers")) {
			return true
		}
	}
	return false
}

// Path says that the value of an argument of this name is a path.
func Path(name []byte) bool { return promised(name) == path }
