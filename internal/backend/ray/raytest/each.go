package raytest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/rayorch/rayorch/internal/backend/ray"
)

// Ray is a fake or real Ray for a test.
type Ray struct {
	Name  string
	Found ray.Found
	// Fake is nil for a real Ray.
	Fake *Fake
}

// Timeout is the timeout of tests. It is so long that only a bug exceeds it, even on a busy machine.
const Timeout = 5 * time.Minute

// Client returns a client with the right token and with Timeout as its timeout.
func (r Ray) Client(t testing.TB) *ray.Client {
	t.Helper()
	client, err := ray.New(ray.Config{Address: r.Found.Address, Token: r.Found.Token, CAFile: r.Found.CAFile, Timeout: Timeout})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// Each runs a test against fake Rays and, without -short, real ones, each without and with token authentication. The tests of a package
// share the real Rays; Main stops them.
func Each(t *testing.T, test func(t *testing.T, r Ray)) {
	for _, token := range []bool{false, true} {
		name := map[bool]string{false: "", true: "-token"}[token]
		t.Run("fake"+name, func(t *testing.T) {
			secret := map[bool]string{true: "fake-token-4711"}[token]
			fake := NewFake(secret)
			t.Cleanup(fake.Close)
			test(t, Ray{"fake" + name, ray.Found{Address: fake.URL, Token: secret}, fake})
		})
		t.Run("real"+name, func(t *testing.T) {
			if testing.Short() {
				t.Skip("-short skips tests with a real Ray")
			}
			test(t, Ray{Name: "real" + name, Found: Real(t, token)})
		})
	}
}

// shared contains the real Rays of the package's tests. Several packages can share them (see share).
var shared struct {
	sync.Mutex
	dir   string
	heads map[bool]*ray.Head // by whether token authentication is enabled
}

// Real returns a real Ray. It starts the Ray once per package. RAYORCH_TEST_RAY_PYTHON is the path of a Python with Ray; if it is not
// set, Real creates an environment in the user's cache directory.
func Real(t testing.TB, token bool) ray.Found {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	head := shared.heads[token]
	if head == nil {
		head = newHead(t, token)
	}
	noEnv := func(string) string { return "" }
	none := func() ([]ray.Dashboard, error) { return nil, nil }
	var found ray.Found
	err := ray.Retry(t.Context(), Timeout, func(ctx context.Context) (err error) {
		// Start is called for each try: on a busy machine, a head may exit shortly after it has started.
		if _, err := head.Start(context.WithoutCancel(ctx)); err != nil {
			return err
		}
		if found, err = (ray.Resolver{Getenv: noEnv, Own: head, Dashboards: none}).Resolve(ctx); err != nil {
			return err
		}
		return takesJobs(ctx, t, found)
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// takesJobs submits a job. A new head rejects jobs until its agent has registered.
func takesJobs(ctx context.Context, t testing.TB, found ray.Found) error {
	_, _, err := Ray{Found: found}.Client(t).Submit(ctx, ray.Submission{SubmissionID: "first", Entrypoint: "true"})
	return err
}

// newHead returns a shared head, which is not started yet.
func newHead(t testing.TB, token bool) *ray.Head {
	t.Helper()
	if err := share(); err != nil {
		t.Fatal(err)
	}
	head := &ray.Head{
		Dir: filepath.Join(shared.dir, fmt.Sprint("token-", token), "ray"), Python: Python(t), CPUs: FakeCPUs,
		ObjectStoreBytes: 100 << 20, NoToken: !token, Wait: 2 * Timeout,
	}
	shared.heads[token] = head
	return head
}

// share creates the directory of the shared Rays. It is not the directory of a test, because it must exist until all tests have ended. If
// RAYORCH_TEST_RAYS is set, it is a directory that several packages share: the caller of the tests stops its Rays with `rayorch ray stop`,
// for which its subdirectories are state directories.
func share() (err error) {
	if shared.dir == "" {
		shared.heads = map[bool]*ray.Head{}
		if shared.dir = os.Getenv("RAYORCH_TEST_RAYS"); shared.dir == "" {
			shared.dir, err = os.MkdirTemp("", "rayorch-raytest-")
		}
	}
	return err
}

// Python returns a finder of the Python with which tests run a real Ray.
func Python(t testing.TB) ray.PythonFinder {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	getenv := func(name string) string {
		if name == "RAYORCH_PYTHON" {
			return os.Getenv("RAYORCH_TEST_RAY_PYTHON")
		}
		if name == "PATH" {
			return os.Getenv("PATH")
		}
		return ""
	}
	return ray.PythonFinder{
		Getenv: getenv, Dir: cache, Venv: filepath.Join(cache, "rayorch-test", "ray-"+ray.Release),
		Progress: func(line string) { t.Log(line) },
	}
}

// Main runs the tests of a package, stops the real Rays that they started, and exits.
func Main(m *testing.M) { os.Exit(Run(m)) }

// Run is Main for a package that has more to clean up: it returns the exit code instead of exiting.
func Run(m *testing.M) int {
	code := m.Run()
	if shared.dir == os.Getenv("RAYORCH_TEST_RAYS") {
		return code
	}
	for _, head := range shared.heads {
		if err := head.Stop(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	_ = os.RemoveAll(shared.dir)
	return code
}

// Eventually polls until check returns nil. After Timeout, it fails the test with the last error. what describes the condition for the
// failure message.
func Eventually(t testing.TB, what string, check func() error) {
	t.Helper()
	for deadline := time.Now().Add(Timeout); ; time.Sleep(20 * time.Millisecond) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("timeout after %s while waiting until %s: %v", Timeout, what, err)
		}
	}
}

// Exists returns a check for Eventually that a file exists.
func Exists(path string) func() error {
	return func() error { _, err := os.Stat(path); return err }
}
