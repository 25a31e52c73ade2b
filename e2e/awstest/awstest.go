// Package awstest gives tests an AWS that others wrote: moto's server and LocalStack's runtime, each a process of its own
// on a socket that it is given, and a double of ours for what neither knows (Amazon EKS). Which of them proves what is a
// table in docs/aws.md. A test binary starts each at most once and stops them in Run.
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

// Emulator is one AWS.
type Emulator struct {
	Name, URL string
	// Account is the account that its callers have.
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

// Run runs the tests of a package and stops what they started: func TestMain(m *testing.M) { os.Exit(awstest.Run(m)) }.
func Run(m *testing.M) int {
	code := m.Run()
	for _, e := range []*Emulator{moto, localStack} {
		e.stop()
	}
	return code
}

// Moto is moto's server, emptied. Without it the test is skipped.
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

// runLocalStack runs LocalStack's runtime on a socket that it is given: by itself it binds the port on all addresses, and
// goes on without one that another has.
const runLocalStack = `import runpy, socket
from twisted.internet import endpoints
endpoints.TCP4ServerEndpoint = lambda reactor, port: endpoints.AdoptedStreamServerEndpoint(reactor, 3, socket.AF_INET)
runpy.run_module("localstack.runtime.main", run_name="__main__")`

// LocalStack is LocalStack's runtime. It has no reset: tests choose names of their own.
func LocalStack(t testing.TB) *Emulator {
	t.Helper()
	localStack.command = []string{program(t, "python", ".tools/localstack"), "-c", runLocalStack}
	localStack.start(t)
	return localStack
}

// Each runs a test against every emulator that is here.
func Each(t *testing.T, test func(t *testing.T, e *Emulator)) {
	t.Run("moto", func(t *testing.T) { test(t, Moto(t)) })
	t.Run("LocalStack", func(t *testing.T) { test(t, LocalStack(t)) })
}

// program finds what make test-setup installs: on PATH where its name says what it is, else in the project's directory.
func program(t testing.TB, name, place string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil && name != "python" {
		return path
	}
	path := filepath.Join(root(), place, "bin", name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("SKIPPED: there is no %s/bin/%s: make test-setup installs it (LocalStack wants Python 3.13 or later)", place, name)
	}
	return path
}

// root is the project's directory.
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

// supervise runs a program and ends its process group when the program ends, and when the process that started it does, whatever
// becomes of that: the pipe that is the input is closed then. Its name is the directory that goes, too.
const supervise = `{ "$@"; kill -KILL 0; } & exec 3<&-; read -r _; rm -rf "$0"; kill -KILL 0`

// launch starts the emulator on a socket that is bound already, so that nobody else can have its port.
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
	// Werkzeug, which serves moto, takes a socket from its own reloader, by these two variables.
	e.process.Env = append(os.Environ(), "WERKZEUG_RUN_MAIN=true", "WERKZEUG_SERVER_FD=3", "GATEWAY_LISTEN="+address, "DNS_ADDRESS=0",
		"SKIP_SSL_CERT_DOWNLOAD=1", "DISABLE_EVENTS=1", "FILESYSTEM_ROOT="+dir, "AWS_ENDPOINT_URL=")
	e.process.ExtraFiles = []*os.File{socket} // 3
	e.process.Stdout, e.process.Stderr = log, log
	e.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // LocalStack starts processes of its own
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

// ready waits until the emulator answers.
func (e *Emulator) ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.URL+e.health, nil)
		if err != nil {
			return err
		}
		res, err := http.DefaultClient.Do(req) // which waits on the socket until the emulator takes it
		if err == nil {
			_ = res.Body.Close()
			return nil
		}
		select {
		case <-e.ended:
			return fmt.Errorf("%s ended: %s", e.Name, e.log())
		case <-ctx.Done():
			err = fmt.Errorf("%s does not answer: %w: %s", e.Name, err, e.log())
			e.stop()
			return err
		case <-time.After(100 * time.Millisecond): // another process: there is nothing else to wait on
		}
	}
}

// log is what the emulator printed.
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

// Region is where the tests' stacks are.
const Region = "eu-west-1"

// Config is a client's configuration for the emulator, found as a command finds it: in the environment. More are further
// variables, NAME=VALUE; AWS_ENDPOINT_URL_EKS is one to think of.
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

// Secret is that of the tests' access key.
const Secret = "the-secret-of-the-tests"

// Env are the variables that make any AWS client of a process use the emulator.
func (e *Emulator) Env() []string {
	return []string{"AWS_ENDPOINT_URL=" + e.URL, "AWS_ACCESS_KEY_ID=AKIATEST", "AWS_SECRET_ACCESS_KEY=" + Secret,
		"AWS_REGION=" + Region, "AWS_DEFAULT_REGION=" + Region, "AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null"}
}
