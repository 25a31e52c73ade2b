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

// upload brings working directories to the object store from which Ray fetches them, with the AWS CLI's credentials. Their
// names are their contents' hashes, so that what is there already stays, for runs that use it.
func (a *app) upload(ctx context.Context, uploads []compile.Upload, say func(string, ...any)) error {
	if len(uploads) == 0 {
		return nil
	}
	cfg, err := a.awsConfig(ctx)
	if err != nil {
		return err
	}
	store := objects.S3{Region: cfg.Region, Credentials: cfg.Credentials, Endpoint: cmp.Or(os.Getenv("AWS_ENDPOINT_URL_S3"),
		aws.ToString(cfg.BaseEndpoint), "https://s3."+cfg.Region+".amazonaws.com")}
	for _, u := range uploads {
		bucket, key, ok := strings.Cut(strings.TrimPrefix(u.URI, "s3://"), "/")
		if !strings.HasPrefix(u.URI, "s3://") || !ok {
			return fail(exitUsage, "name an s3:// prefix in the target's workingDir.uri, or put a package where Ray finds it yourself and name it as the step's workingDir",
				"the working directory cannot be uploaded to %s", u.URI)
		}
		if there(ctx, store, bucket, key) {
			continue
		}
		err := store.Put(ctx, bucket, key, bytes.NewReader(u.Data))
		if err != nil {
			return fail(exitError, "check the bucket's name, and that your AWS credentials may write to it", "upload the working directory to %s: %w", u.URI, err)
		}
		say("uploaded the working directory (%d KiB) to %s", (len(u.Data)+1023)>>10, u.URI)
	}
	return nil
}

// there tells whether an object is there. Who may not list the bucket uploads again.
func there(ctx context.Context, store objects.S3, bucket, key string) bool {
	found := errors.New("found")
	return errors.Is(store.List(ctx, bucket, key, func(engine.Object) error { return found }), found)
}
