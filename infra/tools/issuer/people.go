package main

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"html/template"
	"log/slog"
	"net/http"
	"time"
)

// Person is somebody who may log in. Hash is PBKDF2-HMAC-SHA256 of the password, both in hexadecimal digits.
type Person struct {
	Name   string   `json:"name"`
	Email  string   `json:"email"`
	Groups []string `json:"groups"`
	Salt   string   `json:"salt"`
	Hash   string   `json:"hash"`
}

// Passwords are 128 random bits: nobody finds one by trying, however cheap a try is.
const iterations = 1000

// knows tells whether it is the person's password.
func (person Person) knows(password string) bool {
	salt, err := hex.DecodeString(person.Salt)
	if err != nil {
		return false
	}
	derived, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	return err == nil && subtle.ConstantTimeCompare([]byte(hex.EncodeToString(derived)), []byte(person.Hash)) == 1
}

var page = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Antenna: log in</title></head>
<body><h1>Antenna</h1>
{{if .Done}}<p>Done: go back to the terminal.</p>{{else}}
<p>Go on only if the command that you started shows this code.</p>
{{with .Problem}}<p role="alert">{{.}}</p>{{end}}
<form method="post" action="/device">
<p><label>Code <input name="user_code" value="{{.Code}}" required></label></p>
<p><label>Name <input name="username" autocomplete="username" required></label></p>
<p><label>Password <input name="password" type="password" autocomplete="current-password" required></label></p>
<p><button>Log in</button></p>
</form>{{end}}</body></html>
`))

type shown struct {
	Code, Problem string
	Done          bool
}

// loginPage is where a person says who they are, and that the code is that of their own command.
func loginPage(remembered *memory) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		view := shown{Code: r.FormValue("user_code")}
		status := http.StatusOK
		if r.Method == http.MethodPost {
			if view.Problem = logIn(remembered, view.Code, r.PostFormValue("username"), r.PostFormValue("password")); view.Problem != "" {
				status = http.StatusForbidden
			}
			view.Done = view.Problem == ""
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; form-action 'self'; frame-ancestors 'none'")
		w.WriteHeader(status)
		if err := page.Execute(w, view); err != nil {
			slog.Error("the page could not be written", "error", err)
		}
	})
}

// logIn gives the code to the person; what is wrong otherwise, the same words for a wrong name and password.
func logIn(remembered *memory, code, name, password string) string {
	person, known := remembered.people[name]
	if !person.knows(password) || !known {
		time.Sleep(time.Second)
		slog.Warn("a login was refused", "name", name)
		return "The name or the password is wrong."
	}
	if !remembered.complete(code, name) {
		return "There is no such code, or it has expired: start the command again."
	}
	slog.Info("logged in", "name", name)
	return ""
}
