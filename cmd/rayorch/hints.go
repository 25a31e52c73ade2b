package main

import (
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"syscall"

	"github.com/aws/smithy-go"

	"github.com/rayorch/rayorch/internal/api/client"
	"github.com/rayorch/rayorch/internal/backend/ray"
	"github.com/rayorch/rayorch/internal/engine/store"
)

// answerHints are what to do about errors of the Step Functions API, by their code.
var answerHints = map[string]string{
	"InvalidName":            "use a name of at most 80 letters, digits, dashes and underscores",
	"ExecutionAlreadyExists": "use another --name, or omit it; to watch the existing execution: rayorch resume NAME",
}

// hintFor returns what to do about an error that can occur in any command, or "". Errors of one command carry their own hint (see fail).
func hintFor(err error) string {
	var locked *store.LockedError
	var newer *store.NewerError
	var damaged *store.DamagedError
	var lost *store.LostError
	var dial *net.OpError
	var unknown x509.UnknownAuthorityError
	var missing *client.MissingError
	var answer smithy.APIError
	switch { // the more specific errors first: several of them wrap system errors such as a failed connection
	case errors.As(err, &missing):
		return missing.Hint()
	case errors.As(err, &unknown):
		return "set SSL_CERT_FILE to the certificate of the server or of its CA; for a Kubernetes cluster, set certificate-authority in the kubeconfig"
	case errors.As(err, &locked):
		return "another process owns this state directory: stop that process, or use another directory with --state-dir"
	case errors.As(err, &newer):
		return "use the rayorch release that wrote the state directory or a later one, or another directory with --state-dir"
	case errors.As(err, &damaged), errors.As(err, &lost):
		return "to list the damage and the affected executions: rayorch store check\n" +
			"to copy what is complete to a new state directory: rayorch store salvage DIRECTORY"
	case errors.Is(err, store.ErrFull), errors.Is(err, syscall.ENOSPC):
		return "free space on the disk of the state directory: nothing in it is lost, and runs continue when there is enough space"
	case ray.KindOf(err) == ray.Unauthorized:
		return "set RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH to the file with the cluster's token\n" +
			"to start a separate Ray that rayorch manages: rayorch ray start"
	case ray.KindOf(err) == ray.Unreachable:
		return "check that Ray is running there; to show which Ray a run would use: rayorch doctor"
	case errors.Is(err, syscall.ENOTDIR):
		return "use another directory with --state-dir"
	case errors.Is(err, syscall.EROFS):
		return "the file system is read-only: use a directory on another file system; for the state directory, set --state-dir or RAYORCH_STATE_DIR"
	case errors.Is(err, fs.ErrPermission):
		return "permission denied: check the owner and the mode of the file or directory"
	case errors.As(err, &dial):
		return "no server answers at this address: check the address, and that the server is running"
	case errors.As(err, &answer):
		return answerHints[answer.ErrorCode()]
	}
	return ""
}
