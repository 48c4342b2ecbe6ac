// Issuer is the OpenID provider of an embedded site: the people that its configuration lists log in by device code
// (RFC 8628) and get ID tokens with their groups, for public clients. The protocol is zitadel/oidc's; here are
// only the people, the page on which they log in, and what is remembered, which is lost when it ends.
package main

import (
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/zitadel/oidc/v3/pkg/op"
)

// Configuration is the file that the one argument names.
type Configuration struct {
	Issuer       string   `json:"issuer"`
	Listen       string   `json:"listen"`
	Certificate  string   `json:"certificate"` // files in PEM
	Key          string   `json:"key"`
	Clients      []string `json:"clients"`       // their ids are the audiences of the tokens
	Seconds      int      `json:"seconds"`       // that an ID token is good for
	SessionHours int      `json:"session_hours"` // that it can be renewed for without logging in
	People       []Person `json:"people"`
}

func main() {
	if len(os.Args) != 2 {
		fail("usage: issuer CONFIGURATION.json")
	}
	content, err := os.ReadFile(os.Args[1])
	if err != nil {
		fail(err.Error())
	}
	var configuration Configuration
	if err := json.Unmarshal(content, &configuration); err != nil {
		fail(os.Args[1] + ": " + err.Error())
	}
	handler, err := provider(configuration)
	if err != nil {
		fail(err.Error())
	}
	server := &http.Server{Addr: configuration.Listen, Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	slog.Info("listening", "address", configuration.Listen, "issuer", configuration.Issuer, "people", len(configuration.People))
	fail(server.ListenAndServeTLS(configuration.Certificate, configuration.Key).Error())
}

// provider serves what the device flow needs and nothing else of what the library can do.
func provider(configuration Configuration) (http.Handler, error) {
	remembered, err := newMemory(configuration)
	if err != nil {
		return nil, err
	}
	// Access tokens are encrypted with it, and nobody takes these: it need not outlive the process.
	var key [32]byte
	rand.Read(key[:])
	library, err := op.NewProvider(
		&op.Config{
			CryptoKey:             key,
			GrantTypeRefreshToken: true,
			DeviceAuthorization: op.DeviceAuthorizationConfig{
				Lifetime:     codeLifetime,
				PollInterval: time.Second,
				UserFormPath: "/device",
				UserCode:     op.UserCodeBase20,
			},
		},
		remembered,
		op.StaticIssuer(configuration.Issuer),
	)
	if err != nil {
		return nil, err
	}
	routes := http.NewServeMux()
	for _, path := range []string{
		"GET /.well-known/openid-configuration",
		"GET /keys",
		"POST /oauth/token",
		"POST /device_authorization",
		"GET /healthz",
	} {
		routes.Handle(path, library)
	}
	routes.Handle("/device", loginPage(remembered))
	return routes, nil
}

func fail(why string) {
	slog.Error(why)
	os.Exit(1)
}
