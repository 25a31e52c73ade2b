package ray

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
)

// Here reports whether all of a Ray runs on this machine, as this user, and sees the same files: jobs can then read a file that this
// user alone can read. An address on loopback does not say so, as it may be forwarded, or a container's.
func Here(ctx context.Context, found Found) bool {
	if found.Own {
		return true
	}
	all, err := LocalDashboards()
	if err != nil {
		return false
	}
	for _, d := range all {
		if d.Session != found.Version.SessionName {
			continue
		}
		if _, err := os.Stat(filepath.Join(d.TempDir, d.Session)); err != nil {
			return false // another root directory
		}
		client, err := found.Client()
		if err != nil {
			return false
		}
		n, err := client.nodes(ctx)
		return err == nil && n == 1
	}
	return false
}

// nodes counts the nodes that are alive.
func (c *Client) nodes(ctx context.Context) (n int, err error) {
	var answer struct {
		Data struct {
			Summary []struct {
				Raylet struct{ State string }
			}
		}
	}
	err = c.do(ctx, call{op: "list the nodes", method: http.MethodGet, path: "/nodes?view=summary", read: decodeInto(&answer)})
	for _, node := range answer.Data.Summary {
		if node.Raylet.State == "ALIVE" {
			n++
		}
	}
	return n, err
}
