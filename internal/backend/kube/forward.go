package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"
)

// ForwardOptions say where a port-forward goes from and to.
type ForwardOptions struct {
	Namespace string // defaults to the client's
	// Service or Pod is the target. Behind a service it is the newest pod that is ready, looked up for each connection, so
	// that the forward survives the end of a pod.
	Service, Pod string
	Port         int
	// Listen defaults to 127.0.0.1:0. Whoever reaches another address reaches the target.
	Listen string
	// Trouble hears of connections that failed. Defaults to nobody.
	Trouble func(error)
}

// Forwarded is a port-forward that runs until its Close.
type Forwarded struct {
	c        *Client
	o        ForwardOptions
	upgrade  *http.Client
	listener net.Listener
	cancel   context.CancelFunc
	running  sync.WaitGroup
}

// restartWait is how long a new connection waits for a pod that is about to come.
const restartWait = 30 * time.Second

// Forward listens and carries what connects to the target, until ctx ends or Close is called. The target is looked up
// first, so that a wrong one is told at once.
func (c *Client) Forward(ctx context.Context, o ForwardOptions) (*Forwarded, error) {
	o.Namespace, o.Listen = orElse(o.Namespace, c.namespace), orElse(o.Listen, "127.0.0.1:0")
	f := &Forwarded{c: c, o: o}
	if _, err := f.target(ctx); err != nil {
		return nil, err
	}
	var err error
	if f.upgrade, err = c.upgrader(); err != nil {
		return nil, err
	}
	if f.listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", o.Listen); err != nil {
		return nil, err
	}
	ctx, f.cancel = context.WithCancel(ctx)
	f.running.Go(func() { f.serve(ctx) })
	f.running.Go(func() {
		<-ctx.Done()
		_ = f.listener.Close()
	})
	return f, nil
}

// Address is where it listens.
func (f *Forwarded) Address() string { return f.listener.Addr().String() }

// Close ends it with all its connections.
func (f *Forwarded) Close() {
	f.cancel()
	f.running.Wait()
}

// upgrader speaks HTTP/1.1, which alone can be upgraded.
func (c *Client) upgrader() (*http.Client, error) {
	cfg := rest.CopyConfig(c.rest)
	cfg.NextProtos = []string{"http/1.1"}
	client, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, err
	}
	client.CheckRedirect = c.http.CheckRedirect
	return client, nil
}

func (f *Forwarded) serve(ctx context.Context) {
	var connections sync.WaitGroup
	defer connections.Wait()
	for {
		conn, err := f.listener.Accept()
		if err != nil {
			return // closed
		}
		connections.Go(func() {
			defer conn.Close()
			if err := f.carry(ctx, conn); err != nil && ctx.Err() == nil && f.o.Trouble != nil {
				f.o.Trouble(err)
			}
		})
	}
}

// carry connects one client; for a while it waits for a pod that restarts.
func (f *Forwarded) carry(ctx context.Context, local net.Conn) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = local.Close() })()
	remote, err := f.connect(ctx)
	if err != nil {
		return err
	}
	defer remote.Close()
	defer context.AfterFunc(ctx, func() { remote.Close() })()
	var sent sync.WaitGroup
	sent.Go(func() {
		_, _ = io.Copy(remote.data, local) // the other direction tells how it went
		_ = remote.data.Close()            // half: an answer may still come
	})
	_, err = io.Copy(local, remote.data)
	_ = local.Close()
	sent.Wait()
	return errors.Join(err, remote.problem())
}

func (f *Forwarded) connect(ctx context.Context) (*channel, error) {
	deadline := time.Now().Add(restartWait)
	for {
		remote, err := f.dial(ctx)
		if err == nil || time.Now().After(deadline) || ctx.Err() != nil || Code(err) == http.StatusForbidden {
			return remote, err
		}
		if err := pause(ctx, 500*time.Millisecond); !errors.Is(err, errLater) {
			return nil, err
		}
	}
}

func (f *Forwarded) dial(ctx context.Context) (*channel, error) {
	t, err := f.target(ctx)
	if err != nil {
		return nil, err
	}
	return f.c.openChannel(ctx, f.upgrade, ObjectPath("v1", f.o.Namespace, "pods", t.pod)+"/portforward", t.port)
}

// destination is a pod's port.
type destination struct {
	pod  string
	port int
}

// target finds the pod that is to be reached now.
func (f *Forwarded) target(ctx context.Context) (destination, error) {
	if f.o.Pod != "" {
		return destination{f.o.Pod, f.o.Port}, f.c.get(ctx, ObjectPath("v1", f.o.Namespace, "pods", f.o.Pod), nil, &struct{}{})
	}
	var s service
	if err := f.c.get(ctx, ObjectPath("v1", f.o.Namespace, "services", f.o.Service), nil, &s); err != nil {
		return destination{}, err
	}
	if len(s.Spec.Selector) == 0 {
		return destination{}, fmt.Errorf("the service %s has no selector: forward to a pod", f.o.Service)
	}
	query := url.Values{"labelSelector": {selector(s.Spec.Selector)}}
	var pods struct {
		Items []portPod `json:"items"`
	}
	if err := f.c.get(ctx, CollectionPath("v1", f.o.Namespace, "pods"), query, &pods); err != nil {
		return destination{}, err
	}
	p := choose(pods.Items)
	if p == nil {
		return destination{}, fmt.Errorf("no pod runs behind the service %s", f.o.Service)
	}
	return destination{p.Metadata.Name, s.port(f.o.Port, p)}, nil
}

// service is what is read of a Service.
type service struct {
	Spec struct {
		Selector map[string]string `json:"selector"`
		Ports    []struct {
			Port       int `json:"port"`
			TargetPort any `json:"targetPort"` // a number, or the name of a container's port
		} `json:"ports"`
	} `json:"spec"`
}

// portPod is a pod with the names of its ports.
type portPod struct {
	Pod
	Spec struct {
		Containers []struct {
			Ports []struct {
				Name          string `json:"name"`
				ContainerPort int    `json:"containerPort"`
			} `json:"ports"`
		} `json:"containers"`
	} `json:"spec"`
}

// choose prefers what is ready, then what is new.
func choose(pods []portPod) *portPod {
	var best *portPod
	for i := range pods {
		p := &pods[i]
		if p.Status.Phase != "Running" || p.Metadata.DeletionTimestamp != nil {
			continue
		}
		if best == nil || ready(&p.Pod) && !ready(&best.Pod) ||
			ready(&p.Pod) == ready(&best.Pod) && p.Metadata.CreationTimestamp.After(best.Metadata.CreationTimestamp) {
			best = p
		}
	}
	return best
}

// port is the pod's for a port of the service.
func (s *service) port(wanted int, p *portPod) int {
	for _, port := range s.Spec.Ports {
		if port.Port != wanted {
			continue
		}
		switch to := port.TargetPort.(type) {
		case float64:
			return int(to)
		case string:
			if n := p.named(to); n != 0 {
				return n
			}
		}
	}
	return wanted
}

func (p *portPod) named(name string) int {
	for _, c := range p.Spec.Containers {
		for _, port := range c.Ports {
			if port.Name == name {
				return port.ContainerPort
			}
		}
	}
	n, _ := strconv.Atoi(strings.TrimSpace(name)) // 0 for none
	return n
}
