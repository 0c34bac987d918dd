/* A process that holds keys leaves no core dump and cannot be traced by others of its user (prctl(2)). */

#include "twinlock_native.h"

#include <sys/prctl.h>

int tl_make_undumpable(void)
{
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0;
}

int tl_is_dumpable(void)
{
    return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0;
}
