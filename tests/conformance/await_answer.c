/*
 * For iscsi-test-cu 1.19, by LD_PRELOAD: a task management function returns once its answer is there.
 *
 * LUNResetSimpleAsync asserts what the answer's callback sets as soon as the request is queued, so
 * without this it fails against every target.  (libiscsi 1.20 moved the assertion into the callback.)
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <poll.h>
#include <stdint.h>

struct iscsi_context;
typedef void (*callback)(struct iscsi_context *, int status, void *data, void *private_data);
typedef int (*request)(struct iscsi_context *, int lun, int function, uint32_t task_tag, uint32_t cmd_sn,
                       callback, void *private_data);

extern int iscsi_get_fd(struct iscsi_context *);
extern int iscsi_which_events(struct iscsi_context *);
extern int iscsi_service(struct iscsi_context *, int events);

enum { PATIENCE_MS = 5000 };

struct waiting {
	callback answered;
	void *private_data;
	int done;
};

static void answer(struct iscsi_context *iscsi, int status, void *data, void *private_data)
{
	struct waiting *waiting = private_data;

	waiting->done = 1;
	waiting->answered(iscsi, status, data, waiting->private_data);
}

int iscsi_task_mgmt_async(struct iscsi_context *iscsi, int lun, int function, uint32_t task_tag,
                          uint32_t cmd_sn, callback answered, void *private_data)
{
	static struct waiting waiting;
	request real = (request)dlsym(RTLD_NEXT, "iscsi_task_mgmt_async");
	int result;

	waiting = (struct waiting){answered, private_data, 0};
	result = real(iscsi, lun, function, task_tag, cmd_sn, answer, &waiting);
	while (result == 0 && !waiting.done) {
		struct pollfd fd = {iscsi_get_fd(iscsi), (short)iscsi_which_events(iscsi), 0};

		if (poll(&fd, 1, PATIENCE_MS) <= 0 || iscsi_service(iscsi, fd.revents) != 0)
			break;
	}
	return result;
}
