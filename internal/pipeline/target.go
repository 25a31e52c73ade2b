package pipeline

import (
	"reflect"
	"slices"
	"strings"
)

// TargetKind is where a target runs a pipeline.
type TargetKind string

// The kinds of target: this machine, a Kubernetes cluster, and Step Functions with Amazon EKS.
const (
	TargetLocal      TargetKind = "local"
	TargetKubernetes TargetKind = "kubernetes"
	TargetAWS        TargetKind = "aws"
)

// SubmitMode is how a cluster target submits Ray steps.
type SubmitMode string

// The submission modes.
const (
	SubmitJob    SubmitMode = "job"    // a Kubernetes Job next to Ray submits, follows and reports
	SubmitProxy  SubmitMode = "proxy"  // the state machine calls Ray through the API server
	SubmitRayJob SubmitMode = "rayjob" // KubeRay's operator submits
)

// Known reports whether there is such a mode: a mode that a file does not name, but an option, is not checked when the file is decoded.
func (m SubmitMode) Known() bool {
	switch m {
	case SubmitJob, SubmitProxy, SubmitRayJob:
		return true
	}
	return false
}

// Target is one place to run at. Which of its fields count depends on its kind; the others are refused.
type Target struct {
	Kind       TargetKind        `yaml:"kind" need:"1" enum:"local|kubernetes|aws" doc:"local is this machine, kubernetes a cluster with Ray, aws Step Functions with Amazon EKS."`
	Ray        RayTarget         `yaml:"ray" doc:"The Ray to use."`
	Storage    string            `yaml:"storage" only:"local" doc:"The directory for the pipeline's storage, beside the pipeline file (local)."`
	InheritEnv InheritEnv        `yaml:"inheritEnv" only:"local" doc:"Additional environment variables that jobs inherit: true for all, or a list of names such as [AWS_*, HF_TOKEN]; below (local)."`
	Context    string            `yaml:"context" only:"kubernetes" doc:"The kubeconfig context; by default the current one (kubernetes)."`
	Namespace  string            `yaml:"namespace" only:"kubernetes|aws" doc:"The namespace of Ray and of all that a run makes; by default default (kubernetes, aws)."`
	Submit     SubmitMode        `yaml:"submit" only:"kubernetes|aws" enum:"job|proxy|rayjob" doc:"How Ray steps are submitted, by default job; below (kubernetes, aws)."`
	Image      string            `yaml:"image" only:"kubernetes|aws" doc:"The submitter's image, which needs a python3; by default rayproject/ray of a pinned release (kubernetes, aws)."`
	JobImage   string            `yaml:"jobImage" only:"kubernetes|aws" doc:"The image of plain jobs that name none (kubernetes, aws)."`
	WorkingDir *WorkingDirTarget `yaml:"workingDir" only:"kubernetes|aws" doc:"How working directories reach the jobs; below (kubernetes, aws)."`
	Pods       *PodsTarget       `yaml:"pods" only:"kubernetes|aws" doc:"What all pods of the pipeline's Jobs share; Ray's own pods are not among them (kubernetes, aws)."`
	Queue      string            `yaml:"queue" only:"kubernetes|aws" doc:"The Kueue queue, with rayjob and a cluster of its own (kubernetes, aws)."`
	AWS        *AWSTarget        `yaml:"aws" only:"aws" doc:"What Step Functions and CloudFormation need (aws)."`
}

// RayTarget says which Ray.
type RayTarget struct {
	Address     string     `yaml:"address" doc:"auto, host:port, http(s)://host:port or ray://host:port (local); by default as --ray-address and the environment say."`
	Service     string     `yaml:"service" doc:"The head's service; by default that of cluster, else kuberay-head-svc (kubernetes, aws)."`
	Port        int        `yaml:"port" def:"8265" min:"1" max:"65535" doc:"The dashboard's port at that service (kubernetes, aws)."`
	Cluster     string     `yaml:"cluster" doc:"The RayCluster to use (kubernetes, aws)."`
	ClusterSpec *Literal   `yaml:"clusterSpec" doc:"The rayClusterSpec of a cluster for each Ray step, with rayjob (kubernetes, aws)."`
	Token       *SecretKey `yaml:"token" doc:"The Secret with the cluster's token (kubernetes, aws)."`
}

// WorkingDirTarget says how working directories reach the cluster.
type WorkingDirTarget struct {
	Via string `yaml:"via" enum:"package|configMap|objectStore|claim|inline" doc:"How: by default the first that the submission mode and the size allow. package is another name for configMap."`
	URI string `yaml:"uri" doc:"The prefix in the object store, such as s3://BUCKET/PREFIX, with objectStore."`
}

// PodsTarget is what all pods of a pipeline share.
type PodsTarget struct {
	ServiceAccount               string           `yaml:"serviceAccount" doc:"The service account."`
	NodeSelector                 Map[string]      `yaml:"nodeSelector" doc:"Labels of the nodes to run on."`
	Tolerations                  []Toleration     `yaml:"tolerations" doc:"Taints to tolerate."`
	Labels                       Map[string]      `yaml:"labels" doc:"Labels on all objects."`
	Annotations                  Map[string]      `yaml:"annotations" doc:"Annotations on all objects."`
	ImagePullSecrets             []string         `yaml:"imagePullSecrets" doc:"Secrets for pulling images."`
	SecurityContext              *SecurityContext `yaml:"securityContext" doc:"The security context of the pods. It replaces the default, which is a non-root user without privileges; below."`
	AutomountServiceAccountToken bool             `yaml:"automountServiceAccountToken" doc:"Mount the service account's token into the pods of plain jobs."`
	SubPath                      string           `yaml:"subPath" doc:"The directory of the storage's claim that is mounted in their place; Ray's pods must mount the same."`
	TTL                          Duration         `yaml:"ttl" def:"24h" doc:"How long finished Jobs stay, with their logs."`
}

// AWSTarget is what only AWS needs. The published Seed-Farmer module's parameters have the same meanings.
type AWSTarget struct {
	Region              string      `yaml:"region" doc:"The region; by default the SDK's."`
	ClusterName         string      `yaml:"clusterName" doc:"The EKS cluster."`
	ClusterEndpoint     string      `yaml:"clusterEndpoint" doc:"Its endpoint; looked up where it is left out."`
	ClusterAuthData     string      `yaml:"clusterAuthData" doc:"Its certificate authority; looked up where it is left out."`
	OIDCArn             string      `yaml:"oidcArn" doc:"The ARN of its OIDC provider."`
	AdminRoleArn        string      `yaml:"adminRoleArn" doc:"The role that administers it."`
	HandlerRoleArn      string      `yaml:"handlerRoleArn" doc:"The role by which the admin role is assumed."`
	StateMachineName    string      `yaml:"stateMachineName" doc:"The state machine's name; by default TrainingOnEks and the pipeline's."`
	DataBucket          string      `yaml:"dataBucket" doc:"The bucket that pods may read and write."`
	PermissionsBoundary string      `yaml:"permissionsBoundary" doc:"The permissions boundary's name, for every role."`
	LogRetentionDays    int         `yaml:"logRetentionDays" def:"90" min:"1" max:"3653" doc:"How long logs stay."`
	Schedule            string      `yaml:"schedule" doc:"When to start by itself: rate(...) or cron(...)."`
	ScheduleInput       *Literal    `yaml:"scheduleInput" doc:"The parameters of scheduled runs."`
	AlarmEmail          string      `yaml:"alarmEmail" doc:"Who is told of failures."`
	KMSKey              string      `yaml:"kmsKey" doc:"The key that encrypts state machine, logs and topic."`
	Tags                Map[string] `yaml:"tags" doc:"Tags of all resources."`
}

// onlyFields reports fields of a target that mean nothing for its kind.
func (c *checker) onlyFields(path string, t Target) {
	fields := fieldsOf(reflect.TypeOf(t))
	for _, name := range sortedNames(fields) {
		only, at := fields[name].tag.Get("only"), join(path, name)
		if only != "" && t.Kind != "" && c.written(at) && !slices.Contains(strings.Split(only, "|"), string(t.Kind)) {
			c.report(at, "is for targets of kind %s, not %s", strings.ReplaceAll(only, "|", " or "), t.Kind)
		}
	}
}
