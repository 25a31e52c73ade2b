package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"

	"github.com/aws/smithy-go"
)

// Wrap formats an error of the API in one line: what failed, the code and the message, without the text that the SDK adds.
func Wrap(what string, err error) error {
	var ae smithy.APIError
	if errors.As(err, &ae) {
		return fmt.Errorf("%s: %s: %w", what, ae.ErrorCode(), plain{ae})
	}
	var sent *url.Error // a request that got no response
	if errors.As(err, &sent) {
		return fmt.Errorf("%s: %w", what, unsent{err, sent})
	}
	return fmt.Errorf("%s: %w", what, err)
}

// plain prints only the message of an API error. errors.As still finds the error itself.
type plain struct{ smithy.APIError }

func (p plain) Error() string { return p.ErrorMessage() }
func (p plain) Unwrap() error { return p.APIError }

// unsent prints only the error of a request that got no response, without the text that the SDK adds.
type unsent struct {
	all  error
	sent *url.Error
}

func (u unsent) Error() string { return u.sent.Error() }
func (u unsent) Unwrap() error { return u.all }

// IsAnswer reports whether an error is a response of the Step Functions API. If it is false, the API could not be reached.
func IsAnswer(err error) bool {
	var ae smithy.APIError
	return errors.As(err, &ae)
}

// Refused reports whether a server rejected the caller's credentials.
func Refused(err error) bool {
	var status *StatusError
	if errors.As(err, &status) {
		return status.Code == http.StatusUnauthorized
	}
	var ae smithy.APIError
	return errors.As(err, &ae) && slices.Contains(credentialErrors, ae.ErrorCode())
}

// credentialErrors are the codes of AWS's errors about missing or wrong credentials.
var credentialErrors = []string{
	"MissingAuthenticationTokenException", "UnrecognizedClientException", "InvalidSignatureException", "IncompleteSignatureException",
}

// OtherRelease returns a hint if a server does not understand a definition because it is another release than ours, the release of
// this command. reason is the server's message: the error of a call, or the cause of a failed execution. The hint is "" if the
// release is the same, or if the message has another reason.
func (c *Client) OtherRelease(ctx context.Context, ours, reason string) string {
	if c.kind != endpoint || !notUnderstood.MatchString(reason) {
		return ""
	}
	about, err := c.Info(ctx)
	if err != nil || about.Name == "" || about.Version == ours {
		return ""
	}
	return fmt.Sprintf("the server at %s is rayorch %s and this command is rayorch %s: use the same release for both", c.base, about.Version, ours)
}

// notUnderstood matches a server's message about an argument of a task, or a part of a definition, that its release does not have.
var notUnderstood = regexp.MustCompile(`the arguments of \S+: unknown field|SCHEMA_VALIDATION_FAILED`)
