package main

import (
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"syscall"

	"github.com/rayorch/rayorch/internal/api/client"
	"github.com/rayorch/rayorch/internal/backend/ray"
	"github.com/rayorch/rayorch/internal/engine/store"
)

// hintFor says what to do about an error that any command may meet.
func hintFor(err error) string {
	var locked *store.LockedError
	var newer *store.NewerError
	var damaged *store.DamagedError
	var lost *store.LostError
	var dial *net.OpError
	var unknown x509.UnknownAuthorityError
	var missing *client.MissingError
	switch {
	case errors.As(err, &missing):
		return missing.Hint()
	case errors.As(err, &unknown):
		return "name the server's certificate, or its authority's, by SSL_CERT_FILE; that of a cluster in the kubeconfig"
	case errors.As(err, &locked):
		return "another process owns this state directory: use another one by --state-dir, or end that process"
	case errors.As(err, &newer):
		return "use the release that wrote it or a later one, or another --state-dir"
	case errors.As(err, &damaged), errors.As(err, &lost):
		return "rayorch store check reports what is damaged and the affected executions;\n" +
			"rayorch store salvage DIRECTORY copies what is complete to a new state directory"
	case errors.Is(err, store.ErrFull), errors.Is(err, syscall.ENOSPC):
		return "make room on the disk of the state directory; what it has is kept, and runs go on when there is room"
	case ray.KindOf(err) == ray.Unauthorized:
		return "set RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH to the file that holds the cluster's token;\n" +
			"for a Ray of rayorch's own instead: rayorch ray start"
	case ray.KindOf(err) == ray.Unreachable:
		return "is Ray running there? rayorch doctor shows what a run would use"
	case errors.Is(err, syscall.ENOTDIR):
		return "use another directory with --state-dir"
	case errors.Is(err, syscall.EROFS):
		return "the file system is read-only: name a directory on another one; for the state, by --state-dir or RAYORCH_STATE_DIR"
	case errors.Is(err, fs.ErrPermission):
		return "the file or directory is not this user's: check its owner and mode"
	case errors.As(err, &dial):
		return "nothing answers there: check the address, and that the server runs"
	}
	return ""
}
