// Package awstest gives tests an AWS that others wrote: moto's server and LocalStack's runtime, each a process of its own
// on a free port, and a double of ours for what neither knows (Amazon EKS). Which of them proves what is a table in
// docs/aws.md. A test binary starts each at most once and stops them in Run.
package awstest

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/rayorch/rayorch/internal/proc"
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
	log     bytes.Buffer
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

// LocalStack is LocalStack's runtime. It has no reset: tests choose names of their own.
func LocalStack(t testing.TB) *Emulator {
	t.Helper()
	localStack.command = []string{program(t, "python", ".tools/localstack"), "-m", "localstack.runtime.main"}
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

func (e *Emulator) launch() error {
	ports, err := proc.FreePorts(1)
	if err != nil {
		return err
	}
	port := ports[0]
	e.URL = "http://127.0.0.1:" + port
	dir, err := os.MkdirTemp("", "rayorch-"+e.Name)
	if err != nil {
		return err
	}
	args := e.command
	if e == moto {
		args = append(args, port)
	}
	e.process = exec.CommandContext(context.Background(), args[0], args[1:]...)
	e.process.Dir = dir
	e.process.Env = append(os.Environ(), "GATEWAY_LISTEN=127.0.0.1:"+port, "DNS_ADDRESS=0", "SKIP_SSL_CERT_DOWNLOAD=1",
		"DISABLE_EVENTS=1", "FILESYSTEM_ROOT="+dir, "AWS_ENDPOINT_URL=")
	e.process.Stdout, e.process.Stderr = &e.log, &e.log
	e.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // LocalStack starts processes of its own
	if err := e.process.Start(); err != nil {
		return fmt.Errorf("start %s: %w", e.Name, err)
	}
	e.ended = make(chan struct{})
	go func() { _ = e.process.Wait(); close(e.ended) }()
	return e.ready()
}

// ready waits until the emulator answers.
func (e *Emulator) ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.URL+e.health, nil)
		if err != nil {
			return err
		}
		if res, err := http.DefaultClient.Do(req); err == nil {
			_ = res.Body.Close()
			return nil
		}
		select {
		case <-e.ended:
			return fmt.Errorf("%s ended: %s", e.Name, e.log.String())
		case <-ctx.Done():
			e.stop()
			return fmt.Errorf("%s does not answer: %s", e.Name, e.log.String())
		case <-time.After(100 * time.Millisecond): // another process: there is nothing else to wait on
		}
	}
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

// Env are the variables that make any AWS client of a process use the emulator.
func (e *Emulator) Env() []string {
	return []string{"AWS_ENDPOINT_URL=" + e.URL, "AWS_ACCESS_KEY_ID=AKIATEST", "AWS_SECRET_ACCESS_KEY=secret",
		"AWS_REGION=" + Region, "AWS_DEFAULT_REGION=" + Region, "AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null"}
}
