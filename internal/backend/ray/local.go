package ray

import (
	"bufio"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/rayorch/rayorch/internal/backend/proc"
)

// Dashboard is a Ray's dashboard process on this machine.
type Dashboard struct {
	Address string // http form
	GCS     string // host:port
	Session string // the session's name
	TempDir string // where its session's directory is
}

// LocalDashboards finds the dashboards that run here under this user. It reads their command lines, and where they say
// that any port will do, their logs: the only place, but for Ray's own protocol, that tells the port.
func LocalDashboards() ([]Dashboard, error) {
	all, err := proc.List()
	if err != nil {
		return nil, err
	}
	var found []Dashboard
	for _, p := range all {
		if p.Zombie || (p.UID >= 0 && p.UID != os.Getuid()) {
			continue
		}
		if d, ok := dashboardOf(p.Args); ok {
			found = append(found, d)
		}
	}
	return found, nil
}

func dashboardOf(args []string) (Dashboard, bool) {
	flags := map[string]string{}
	is := false
	for _, arg := range args {
		is = is || strings.HasSuffix(arg, "ray/dashboard/dashboard.py")
		if name, value, ok := strings.Cut(arg, "="); ok {
			flags[name] = value
		}
	}
	d := Dashboard{GCS: flags["--gcs-address"], Session: filepath.Base(flags["--session-dir"]),
		TempDir: filepath.Dir(flags["--session-dir"])}
	address := loggedAddress(filepath.Join(flags["--log-dir"], "dashboard.log"))
	if address == "" && flags["--port"] != "0" {
		address = net.JoinHostPort(flags["--host"], flags["--port"])
	}
	host, port, err := net.SplitHostPort(address)
	if !is || err != nil || flags["--session-dir"] == "" {
		return Dashboard{}, false
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		host = "127.0.0.1"
	}
	d.Address = "http://" + net.JoinHostPort(host, port)
	return d, true
}

// loggedAddress reads where a dashboard says that it listens. It says so early in its log.
func loggedAddress(path string) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for n := 0; n < 500 && lines.Scan(); n++ {
		if _, address, ok := strings.Cut(lines.Text(), "Dashboard head http address: "); ok {
			return strings.TrimSpace(address)
		}
	}
	return ""
}

// currentCluster is what ray start notes as the Ray that ray.init connects to.
func (r Resolver) currentCluster() string {
	dir := r.getenv("RAY_TMPDIR")
	if dir == "" {
		dir = r.getenv("TMPDIR")
	}
	if dir == "" {
		dir = "/tmp"
	}
	data, _ := os.ReadFile(filepath.Join(dir, "ray", "ray_current_cluster"))
	return strings.TrimSpace(string(data))
}
