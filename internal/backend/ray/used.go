package ray

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// used is the content of Resolver.UsedFile: the Ray that was discovered, and that the runs of a state directory use.
type used struct {
	Own     bool   `json:"own"`
	Address string `json:"address"`
}

// used reads UsedFile.
func (r Resolver) used() (u used, ok bool) {
	if r.UsedFile == "" {
		return u, false
	}
	data, err := os.ReadFile(r.UsedFile)
	return u, err == nil && json.Unmarshal(data, &u) == nil
}

// keepUsed writes a discovered Ray to UsedFile.
func (r Resolver) keepUsed(found Found) error {
	now := used{found.Own, found.Address}
	if before, ok := r.used(); r.UsedFile == "" || ok && before == now {
		return nil
	}
	data, err := json.Marshal(now)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(r.UsedFile), 0o700); err != nil {
		return err
	}
	return writeFile(r.UsedFile, append(data, '\n'))
}

// Forget deletes the record of the Ray in use, so that the next Resolve may discover another one.
func (r Resolver) Forget() error { return remove(r.UsedFile) }

// ForgetLost calls Forget if the Ray in use is no longer running.
func (r Resolver) ForgetLost(ctx context.Context) error {
	u, ok := r.used()
	if !ok {
		return nil
	}
	if _, running := r.ownState(ctx); u.Own && running {
		return nil
	}
	if _, err := r.sameByHand(ctx, u); !u.Own && !errors.Is(err, ErrNoRay) { // other errors do not show that it is lost
		return nil
	}
	return r.Forget()
}

// resolveAgain finds the Ray in use, or any Ray on this machine if none is in use. If the Ray in use is lost, only the Ray of this state
// directory can replace it: the runs must not move to another Ray that happens to run on this machine.
func (r Resolver) resolveAgain(ctx context.Context) (Found, error) {
	u, ok := r.used()
	if !ok {
		return r.running(ctx)
	}
	lost := ErrNoRay
	if !u.Own {
		found, err := r.sameByHand(ctx, u)
		if err == nil || !errors.Is(err, ErrNoRay) {
			return found, err
		}
		lost = err
	}
	if state, ours := r.ownState(ctx); ours {
		return r.own(ctx, state)
	}
	return Found{}, lost
}

// sameByHand finds a Ray that was started manually at its previous address.
func (r Resolver) sameByHand(ctx context.Context, u used) (Found, error) {
	lost := fmt.Errorf("%w; the Ray at %s, which the runs used, is no longer running", ErrNoRay, u.Address)
	all, err := r.byHand()
	if err != nil || !slices.ContainsFunc(all, func(d Dashboard) bool { return d.Address == u.Address }) {
		return Found{}, errors.Join(err, lost)
	}
	found, err := r.connect(ctx, u.Address, "a Ray running on this machine")
	if KindOf(err) == Unauthorized {
		err = lost
	}
	return found, err
}
