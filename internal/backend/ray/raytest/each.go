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

// Ray is one to test with.
type Ray struct {
	Name  string
	Found ray.Found
	// Fake is nil for a real one.
	Fake *Fake
}

// Patience bounds what tests wait for: so long that only what is broken takes longer, however busy the machine is.
const Patience = 5 * time.Minute

// Client makes a client with the right token, whose every request may take its time.
func (r Ray) Client(t testing.TB) *ray.Client {
	t.Helper()
	client, err := ray.New(ray.Config{Address: r.Found.Address, Token: r.Found.Token, CAFile: r.Found.CAFile, Timeout: Patience})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// Each runs a test against a fake Ray and, without -short, a real one, each without and with tokens. The tests of a package
// share the real ones; Main ends them.
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
				t.Skip("the real Ray is left out with -short")
			}
			test(t, Ray{Name: "real" + name, Found: Real(t, token)})
		})
	}
}

// shared are the real Rays of a package's tests, or of several packages'.
var shared struct {
	sync.Mutex
	dir   string
	heads map[bool]*ray.Head
}

// Real starts a real Ray, once a package, and says where it is. RAYORCH_TEST_RAY_PYTHON names the Python that has one;
// else an environment is made in the user's cache directory.
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
	err := ray.Retry(t.Context(), Patience, func(ctx context.Context) (err error) {
		// Each time, as a head may end by itself on a busy machine, a moment after it was up.
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

// takesJobs submits a job, as a new head has no agent for a while and refuses them until then.
func takesJobs(ctx context.Context, t testing.TB, found ray.Found) error {
	_, _, err := Ray{Found: found}.Client(t).Submit(ctx, ray.Submission{SubmissionID: "first", Entrypoint: "true"})
	return err
}

func newHead(t testing.TB, token bool) *ray.Head {
	t.Helper()
	if err := share(); err != nil {
		t.Fatal(err)
	}
	head := &ray.Head{
		Dir: filepath.Join(shared.dir, fmt.Sprint("token-", token), "ray"), Python: Python(t), CPUs: FakeCPUs,
		ObjectStoreBytes: 100 << 20, NoToken: !token, Wait: 2 * Patience,
	}
	shared.heads[token] = head
	return head
}

// share makes the directory of the shared ones, which outlives the test that comes first. RAYORCH_TEST_RAYS names one that
// packages share: who ran them stops its Rays, whose state directories are those of rayorch ray.
func share() (err error) {
	if shared.dir == "" {
		shared.heads = map[bool]*ray.Head{}
		if shared.dir = os.Getenv("RAYORCH_TEST_RAYS"); shared.dir == "" {
			shared.dir, err = os.MkdirTemp("", "rayorch-raytest-")
		}
	}
	return err
}

// Python finds the Python that tests run the real Ray with.
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

// Main runs a package's tests, ends the real Rays that they started, and the process.
func Main(m *testing.M) { os.Exit(Run(m)) }

// Run is Main for a package that has more to end: it gives the exit code.
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

// Eventually looks until a look finds nothing missing. When Patience is at its end it fails the test with what the last
// one missed; what names what is waited for.
func Eventually(t testing.TB, what string, look func() error) {
	t.Helper()
	for deadline := time.Now().Add(Patience); ; time.Sleep(20 * time.Millisecond) {
		err := look()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still waiting after %s until %s: %v", Patience, what, err)
		}
	}
}

// Exists is a look for a file.
func Exists(path string) func() error {
	return func() error { _, err := os.Stat(path); return err }
}
