package ray

import (
	"bufio"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/rayorch/rayorch/internal/backend/proc"
)

// Dashboard is the dashboard process of a Ray on this machine.
type Dashboard struct {
	Address string // URL
	GCS     string // HOST:PORT of its GCS
	Session string // name of the session
	TempDir string // the directory that contains the session's directory
}

// LocalDashboards returns the dashboards that run on this machine as this user. It finds their ports in their logs or, if those do not
// contain one, in their command lines: a dashboard whose port the system chose reports it only in its log and by Ray's own protocol.
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

// dashboardOf returns the dashboard with this command line. It returns false for other processes.
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

// loggedAddress returns HOST:PORT from the log of a dashboard, or "" if it is not in the first 500 lines.
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

// currentCluster returns the address of the GCS that the last `ray start` recorded; ray.init connects to it by default.
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
