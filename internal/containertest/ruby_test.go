//go:build containers

package containertest

import (
	"fmt"
	"os"
	"testing"
)

// errand is a worker for Ruby's Sidekiq whose job takes as many seconds as it is told.
const errand = `
require "sidekiq"
$stdout.sync = true
class Errand
  include Sidekiq::Worker
  def perform(seconds)
    note "begun"
    sleep seconds
    note "ended"
  end
  def note(what)
    File.write("notes/#{jid}.#{what}.#{Time.now.to_f}", "")
  end
end
`

// rubySite is a Redis with jobs, and a folder for a container that runs them.
func rubySite(t *testing.T) *site {
	t.Helper()
	s := newSite(t)
	s.write("errand.rb", errand)
	return s
}

// push puts a job as Ruby does.
func (s *site) push(jid string, seconds int) {
	s.t.Helper()
	s.redis.Do("SADD", "queues", "default")
	s.redis.Do("LPUSH", "queue:default", fmt.Sprintf(
		`{"class":"Errand","args":[%d],"retry":true,"queue":"default","jid":%q,"created_at":1700000000.5,"enqueued_at":1700000000.5}`, seconds, jid))
}

// userland is the host's: Ruby and Debian's sh, of which the image has none.
func (s *site) userland() []string {
	options := []string{"--tmpfs", "/tmp", "-e", "HOME=/tmp", "-e", "PATH=/usr/bin:/bin", "-e", "RUBYOPT=-W0", "-e", "REDIS_URL=" + s.redis.URL()}
	for _, dir := range []string{"/usr", "/bin", "/lib", "/lib64", "/etc", "/var/lib/gems"} {
		if _, err := os.Stat(dir); err == nil {
			options = append(options, "-v", dir+":"+dir+":ro")
		}
	}
	return options
}

// sidekiq is its command line.
func sidekiq(timeout int) string { return fmt.Sprintf("sidekiq -c 2 -t %d -r ./errand.rb", timeout) }
