package wire

import (
	"strings"
	"testing"
)

func TestUnwrapped(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		"v7-activejob": `ReportJob [{"_aj_globalid":"gid://shop/Account/9"}]`,
		"v8-activejob": `ActionMailer::MailDeliveryJob ["UserMailer","welcome","deliver_now",{"args":[42],"_aj_ruby2_keywords":["args"]}]`,
	} {
		payload := payloadFile(t, file)
		inner := parse(t, string(payload)).Unwrapped()
		if inner == nil {
			t.Errorf("%s: nothing in it", file)
		} else if got := inner.Kind + " " + string(inner.Args); got != want || string(inner.Payload()) != string(payload) {
			t.Errorf("%s: %s, want %s", file, got, want)
		}
	}
	for name, payload := range map[string]string{
		"no wrapper":           `{"class":"A","wrapped":"B","args":[{"arguments":[1]}]}`,
		"nothing wrapped":      `{"class":"Sidekiq::ActiveJob::Wrapper","args":[{"arguments":[1]}]}`,
		"no data":              `{"class":"Sidekiq::ActiveJob::Wrapper","wrapped":"B","args":[]}`,
		"data of another type": `{"class":"Sidekiq::ActiveJob::Wrapper","wrapped":"B","args":["arguments"]}`,
		"no arguments":         `{"class":"Sidekiq::ActiveJob::Wrapper","wrapped":"B","args":[{"job_class":"B"}]}`,
		"arguments no array":   `{"class":"Sidekiq::ActiveJob::Wrapper","wrapped":"B","args":[{"arguments":null}]}`,
	} {
		if inner := parse(t, payload).Unwrapped(); inner != nil {
			t.Errorf("%s: %s %s", name, inner.Kind, strings.TrimSpace(string(inner.Args)))
		}
	}
}
