package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/engine/objects"
	"github.com/rayorch/rayorch/internal/pipeline/compile"
)

// upload uploads working directories to the object store from which Ray fetches them, with the AWS CLI's credentials. The key of an object
// contains the hash of its content: an object that exists is not uploaded again, and never changes under a run that uses it.
func (a *app) upload(ctx context.Context, uploads []compile.Upload, say func(string, ...any)) error {
	if len(uploads) == 0 {
		return nil
	}
	cfg, err := a.aws.config(ctx)
	if err != nil {
		return err
	}
	store := objects.S3{Region: cfg.Region, Credentials: cfg.Credentials, Endpoint: cmp.Or(os.Getenv("AWS_ENDPOINT_URL_S3"),
		aws.ToString(cfg.BaseEndpoint), "https://s3."+cfg.Region+".amazonaws.com")}
	for _, u := range uploads {
		bucket, key, ok := strings.Cut(strings.TrimPrefix(u.URI, "s3://"), "/")
		if !strings.HasPrefix(u.URI, "s3://") || !ok {
			return fail(exitUsage, "set the target's workingDir.uri to an s3:// prefix, or upload a package yourself and set the step's workingDir to its URI",
				"the working directory cannot be uploaded to %s", u.URI)
		}
		if exists(ctx, store, bucket, key) {
			continue
		}
		err := store.Put(ctx, bucket, key, bytes.NewReader(u.Data))
		if err != nil {
			return fail(exitError, "check the name of the bucket, and that your AWS credentials allow s3:PutObject",
				"upload the working directory to %s: %w", u.URI, err)
		}
		say("uploaded the working directory (%d KiB) to %s", (len(u.Data)+1023)>>10, u.URI)
	}
	return nil
}

// exists reports whether an object exists. Without the permission to list the bucket it is false: then the object is uploaded again.
func exists(ctx context.Context, store objects.S3, bucket, key string) bool {
	found := errors.New("found") // ends the listing at the first object
	return errors.Is(store.List(ctx, bucket, key, func(engine.Object) error { return found }), found)
}
