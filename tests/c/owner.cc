// The header from C++17: strings and handles with owners, as a C++ program would have them.
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "sandport.h"

namespace {

struct Free {
  void operator()(char *text) const { sandport_string_free(text); }
};
using Text = std::unique_ptr<char, Free>;

class Backend {
 public:
  explicit Backend(const std::string &config) {
    char *text = nullptr;
    status_ = sandport_backend_open(config.c_str(), &handle_, &text);
    answer_.reset(text);
  }
  Backend(const Backend &) = delete;
  Backend &operator=(const Backend &) = delete;
  ~Backend() {
    if (handle_ != 0) sandport_backend_close(handle_);
  }
  int32_t status() const { return status_; }
  const char *answer() const { return answer_.get(); }

 private:
  sandport_backend handle_ = 0;
  int32_t status_ = SANDPORT_INTERNAL;
  Text answer_;
};

}  // namespace

int main() {
  Backend refused(R"({"no_such_field": 1})");
  if (refused.status() != SANDPORT_INVALID_ARGUMENT) return 1;
  if (std::strstr(refused.answer(), "no_such_field") == nullptr) return 2;
  // No engine is needed to open; and a log that cannot be written is a warning, no failure.
  Backend opened(R"({"runtime": "docker", "endpoint": "unix:///no-engine.sock"})");
  if (opened.status() != SANDPORT_OK) return 4;
  const bool warned = std::strstr(opened.answer(), "no log is written") != nullptr;
  if (warned != (std::getenv("SANDPORT_LOG") != nullptr)) return 5;
  return sandport_abi_version() == SANDPORT_ABI_VERSION ? 0 : 3;
}
