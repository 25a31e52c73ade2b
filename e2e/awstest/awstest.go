// Package awstest provides emulators of AWS for tests: moto's server and LocalStack's runtime, each in a separate process on a socket that
// the test binds, and a fake of Amazon EKS, which both do not emulate. The table in docs/aws.md lists what is tested with which of them.
// A test binary starts each emulator at most once, and stops them in Run.
package awstest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
)

// Emulator is an emulator of AWS.
type Emulator struct {
	Name, URL string
	// Account is the account id of callers.
	Account string

	command []string
	health  string
	once    sync.Once
	process *exec.Cmd
	ended   chan struct{}
	err     error
}

var (
	moto       = &Emulator{Name: "moto", Account: "123456789012", health: "/moto-api/"}
	localStack = &Emulator{Name: "LocalStack", Account: "000000000000", health: "/_localstack/health"}
)

// Run runs the tests of a package and stops the emulators: func TestMain(m *testing.M) { os.Exit(awstest.Run(m)) }.
func Run(m *testing.M) int {
	code := m.Run()
	for _, e := range []*Emulator{moto, localStack} {
		e.stop()
	}
	return code
}

// Moto returns moto's server after a reset. If moto is not installed, the test is skipped.
func Moto(t testing.TB) *Emulator {
	t.Helper()
	moto.command = []string{program(t, "moto_server", ".venv"), "-H", "127.0.0.1", "-p"}
	moto.start(t)
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, moto.URL+"/moto-api/reset", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return moto
}

// runLocalStack is a Python program that runs LocalStack's runtime on an inherited socket. LocalStack itself would bind the port on all
// addresses, and would continue without a port that is in use.
const runLocalStack = `import runpy, socket
from twisted.internet import endpoints
endpoints.TCP4ServerEndpoint = lambda reactor, port: endpoints.AdoptedStreamServerEndpoint(reactor, 3, socket.AF_INET)
runpy.run_module("localstack.runtime.main", run_name="__main__")`

// LocalStack returns LocalStack's runtime. It cannot be reset, so tests must use unique names. If it is not installed, the test is skipped.
func LocalStack(t testing.TB) *Emulator {
	t.Helper()
	localStack.command = []string{program(t, "python", ".tools/localstack"), "-c", runLocalStack}
	localStack.start(t)
	return localStack
}

// Each runs a subtest with each emulator that is installed.
func Each(t *testing.T, test func(t *testing.T, e *Emulator)) {
	t.Run("moto", func(t *testing.T) { test(t, Moto(t)) })
	t.Run("LocalStack", func(t *testing.T) { test(t, LocalStack(t)) })
}

// program returns the path of a program that make test-setup installs: on PATH, except for python, or below dir in the project.
func program(t testing.TB, name, dir string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil && name != "python" {
		return path
	}
	path := filepath.Join(root(), dir, "bin", name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("SKIPPED: %s/bin/%s not found: run make test-setup (LocalStack needs Python 3.13 or later)", dir, name)
	}
	return path
}

// root returns the root directory of the project.
func root() string {
	_, here, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(here)))
}

func (e *Emulator) start(t testing.TB) {
	t.Helper()
	e.once.Do(func() { e.err = e.launch() })
	if e.err != nil {
		t.Fatal(e.err)
	}
}

// supervise is a shell script that runs a program and kills its process group when the program or the process that started the script
// ends. The latter closes the pipe at standard input, even if that process is killed; then the script also removes the directory $0.
const supervise = `{ "$@"; kill -KILL 0; } & exec 3<&-; read -r _; rm -rf "$0"; kill -KILL 0`

// launch starts the emulator on a socket that is already bound, so that no other program can take its port.
func (e *Emulator) launch() error {
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return err
	}
	defer l.Close()
	socket, err := l.File()
	if err != nil {
		return err
	}
	defer socket.Close()
	address := l.Addr().String()
	e.URL = "http://" + address
	dir, err := os.MkdirTemp("", "rayorch-"+e.Name)
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	args := append([]string{"-c", supervise, dir}, e.command...)
	if e == moto {
		args = append(args, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	}
	e.process = exec.CommandContext(context.Background(), "sh", args...)
	e.process.Dir = dir
	// The two variables make Werkzeug, moto's web server, use the inherited socket; they are meant for its reloader.
	e.process.Env = append(os.Environ(), "WERKZEUG_RUN_MAIN=true", "WERKZEUG_SERVER_FD=3", "GATEWAY_LISTEN="+address, "DNS_ADDRESS=0",
		"SKIP_SSL_CERT_DOWNLOAD=1", "DISABLE_EVENTS=1", "FILESYSTEM_ROOT="+dir, "AWS_ENDPOINT_URL=")
	e.process.ExtraFiles = []*os.File{socket} // 3
	e.process.Stdout, e.process.Stderr = log, log
	e.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // LocalStack starts child processes
	if _, err = e.process.StdinPipe(); err == nil {
		err = e.process.Start()
	}
	if err != nil {
		return fmt.Errorf("start %s: %w", e.Name, err)
	}
	e.ended = make(chan struct{})
	go func() { _ = e.process.Wait(); close(e.ended) }()
	return e.ready()
}

// ready waits until the emulator responds.
func (e *Emulator) ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.URL+e.health, nil)
		if err != nil {
			return err
		}
		res, err := http.DefaultClient.Do(req) // blocks until the emulator accepts the connection
		if err == nil {
			_ = res.Body.Close()
			return nil
		}
		select {
		case <-e.ended:
			return fmt.Errorf("%s ended: %s", e.Name, e.log())
		case <-ctx.Done():
			err = fmt.Errorf("%s does not respond: %w: %s", e.Name, err, e.log())
			e.stop()
			return err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// log returns the output of the emulator.
func (e *Emulator) log() []byte {
	text, err := os.ReadFile(filepath.Join(e.process.Dir, "log"))
	if err != nil {
		return []byte(err.Error())
	}
	return text
}

func (e *Emulator) stop() {
	if e.process == nil || e.process.Process == nil {
		return
	}
	_ = syscall.Kill(-e.process.Process.Pid, syscall.SIGKILL)
	<-e.ended
	_ = os.RemoveAll(e.process.Dir)
}

// Region is the AWS region of the tests.
const Region = "eu-west-1"

// Config sets the environment variables of the emulator for the test, and returns the client configuration that a command reads from them.
// more contains additional variables (NAME=VALUE), such as AWS_ENDPOINT_URL_EKS.
func (e *Emulator) Config(t testing.TB, more ...string) aws.Config {
	t.Helper()
	for _, v := range append(e.Env(), more...) {
		name, text, _ := strings.Cut(v, "=")
		t.Setenv(name, text)
	}
	cfg, err := config.LoadDefaultConfig(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// Secret is the secret access key of the tests.
const Secret = "the-secret-of-the-tests"

// Env returns the environment variables that make AWS clients use the emulator.
func (e *Emulator) Env() []string {
	return []string{"AWS_ENDPOINT_URL=" + e.URL, "AWS_ACCESS_KEY_ID=AKIATEST", "AWS_SECRET_ACCESS_KEY=" + Secret,
		"AWS_REGION=" + Region, "AWS_DEFAULT_REGION=" + Region, "AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null"}
}
