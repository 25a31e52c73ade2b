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

// used is the Ray that runs of a state directory use and nobody named.
type used struct {
	Own     bool   `json:"own"`
	Address string `json:"address"`
}

func (r Resolver) used() (u used, ok bool) {
	if r.UsedFile == "" {
		return u, false
	}
	data, err := os.ReadFile(r.UsedFile)
	return u, err == nil && json.Unmarshal(data, &u) == nil
}

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

// Forget ends the use of a Ray: the next resolve searches again.
func (r Resolver) Forget() error { return remove(r.UsedFile) }

// ForgetLost ends the use of a Ray that no longer runs.
func (r Resolver) ForgetLost(ctx context.Context) error {
	u, ok := r.used()
	if !ok {
		return nil
	}
	if _, running := r.ownState(ctx); u.Own && running {
		return nil
	}
	if _, err := r.sameByHand(ctx, u); !u.Own && !errors.Is(err, ErrNoRay) { // an error of another kind says nothing
		return nil
	}
	return r.Forget()
}

// resolveAgain finds the Ray that is in use, or any that runs here when none is. In place of one that was lost it takes our
// own and no other: what else runs here may be anybody's.
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

// sameByHand finds a Ray that was started by hand at the address where it was before.
func (r Resolver) sameByHand(ctx context.Context, u used) (Found, error) {
	lost := fmt.Errorf("%w; the ray at %s, which the runs used, is gone", ErrNoRay, u.Address)
	all, err := r.byHand()
	if err != nil || !slices.ContainsFunc(all, func(d Dashboard) bool { return d.Address == u.Address }) {
		return Found{}, errors.Join(err, lost)
	}
	found, err := r.ask(ctx, u.Address, "a ray running here")
	if KindOf(err) == Unauthorized {
		err = lost
	}
	return found, err
}
