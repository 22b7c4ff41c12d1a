package crosstenant

import "github.com/mcpsiem/mcpsiem/internal/event"

func eventWith(body string) (e event.Event) {
	e.Body = body
	return e
}
