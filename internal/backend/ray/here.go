package ray

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
)

// RunsHere reports whether a Ray runs entirely on this machine, as this user, and in the same root directory, so that its jobs can read
// files that only this user can read. A loopback address does not imply that: it may be forwarded, or belong to a container.
func RunsHere(ctx context.Context, found Found) bool {
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
			return false // it has another root directory, as in a container
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

// nodes returns the number of nodes that are alive.
func (c *Client) nodes(ctx context.Context) (n int, err error) {
	var response struct {
		Data struct {
			Summary []struct {
				Raylet struct{ State string }
			}
		}
	}
	err = c.do(ctx, call{op: "list the nodes", method: http.MethodGet, path: "/nodes?view=summary", read: decodeInto(&response)})
	for _, node := range response.Data.Summary {
		if node.Raylet.State == "ALIVE" {
			n++
		}
	}
	return n, err
}
